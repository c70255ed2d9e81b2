//! `cairn status`: one sentence first, then what a node knows. Answered by any node, also without a quorum.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Failure;
use crate::table;

/// Say whether the cluster is healthy and what it can lose
#[derive(clap::Args)]
pub struct Arguments {
    /// HTTP address of any node
    #[arg(long, default_value = "127.0.0.1:15434", env = "CAIRN_HTTP_ADDR")]
    http_addr: String,
    /// table or json
    #[arg(long, default_value = "table", value_parser = ["table", "json"])]
    format: String,
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (_, body) = runtime.block_on(get(&arguments.http_addr, "/status.json"))?;
    if arguments.format == "json" {
        println!("{body}");
        return Ok(());
    }
    let status: Value = serde_json::from_str(&body)?;
    println!("{}", status["summary"].as_str().unwrap_or("The node gave no summary."));
    for (title, list) in [("Nodes", &status["nodes"]), ("Ranges", &status["ranges"])] {
        let Some(rows) = list.as_array().filter(|rows| !rows.is_empty()) else { continue };
        println!("\n{title}\n{}", render(rows));
    }
    Ok(())
}

fn render(rows: &[Value]) -> String {
    let header: Vec<String> = rows[0].as_object().map(|row| row.keys().cloned().collect()).unwrap_or_default();
    let cells: Vec<Vec<Option<String>>> = rows
        .iter()
        .map(|row| {
            header
                .iter()
                .map(|name| match &row[name] {
                    Value::Null => None,
                    Value::String(text) => Some(text.clone()),
                    other => Some(other.to_string()),
                })
                .collect()
        })
        .collect();
    table::render(&header, &cells)
}

/// One GET, answered within five seconds: the status code and the body.
pub async fn get(address: &str, path: &str) -> Result<(u16, String), Failure> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<String, std::io::Error>(answer)
    };
    let answer = match tokio::time::timeout(Duration::from_secs(5), ask).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(Failure::new(format!("no node answers at http://{address}: {error}"))),
        Err(_) => return Err(Failure::new(format!("the node at http://{address} did not answer within 5 s"))),
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let code = head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Ok((code, body.to_owned()))
}
