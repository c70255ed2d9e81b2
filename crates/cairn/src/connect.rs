//! Finding a server the way libpq does: a URL, else PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE …, else the
//! defaults of a node on this machine.

use std::env::var;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls};

use crate::Failure;

/// Where to connect to; everything left out comes from the environment.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Target {
    /// postgresql://USER@HOST:PORT/DATABASE or "host=… port=…"; default from PGHOST, PGPORT, PGUSER, PGDATABASE, else root@127.0.0.1:15432/cairn
    #[arg(value_name = "URL")]
    pub url: Option<String>,
}

impl Target {
    pub fn config(&self) -> Result<Config, Failure> {
        let given = match &self.url {
            Some(url) => Config::from_str(url)
                .map_err(|error| Failure::new(format!("{url:?} is not a connection URL: {error}")))?,
            None => Config::new(),
        };
        complete(given)
    }
}

fn complete(given: Config) -> Result<Config, Failure> {
    let mut config = given.clone();
    if given.get_hosts().is_empty() {
        config.host(var("PGHOST").unwrap_or_else(|_| "127.0.0.1".to_owned()));
    }
    if given.get_ports().is_empty() {
        let port = match var("PGPORT") {
            Ok(text) => text.parse().map_err(|_| Failure::new(format!("PGPORT is {text:?}, not a port number")))?,
            Err(_) => 15432,
        };
        config.port(port);
    }
    if given.get_user().is_none() {
        config.user(var("PGUSER").unwrap_or_else(|_| "root".to_owned()));
    }
    if given.get_password().is_none()
        && let Ok(password) = var("PGPASSWORD")
    {
        config.password(password);
    }
    if given.get_dbname().is_none() {
        config.dbname(var("PGDATABASE").unwrap_or_else(|_| "cairn".to_owned()));
    }
    if given.get_application_name().is_none() {
        config.application_name(var("PGAPPNAME").unwrap_or_else(|_| "cairn".to_owned()));
    }
    if given.get_options().is_none()
        && let Ok(options) = var("PGOPTIONS")
    {
        config.options(options);
    }
    if given.get_connect_timeout().is_none() {
        let seconds = var("PGCONNECT_TIMEOUT").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
        config.connect_timeout(Duration::from_secs(seconds));
    }
    if matches!(var("PGSSLMODE").as_deref(), Ok("require" | "verify-ca" | "verify-full")) {
        return Err(Failure::new(
            "PGSSLMODE asks for TLS, which this version does not speak; set it to prefer or disable.",
        ));
    }
    config.ssl_mode(tokio_postgres::config::SslMode::Disable);
    Ok(config)
}

/// `host:port` of the first host, for messages.
pub fn address(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
        Some(tokio_postgres::config::Host::Unix(path)) => path.display().to_string(),
        None => "?".to_owned(),
    };
    format!("{host}:{}", config.get_ports().first().copied().unwrap_or(15432))
}

/// A connected client; its connection runs in the background until the client is dropped.
pub async fn connect(config: &Config) -> Result<Client, Failure> {
    let (client, connection) = config.connect(NoTls).await.map_err(|error| unreachable(config, &error))?;
    tokio::spawn(async move {
        // Its error is told to whoever uses the client.
        let _told_to_the_client = connection.await;
    });
    Ok(client)
}

fn unreachable(config: &Config, error: &tokio_postgres::Error) -> Failure {
    let at = address(config);
    match error.as_db_error() {
        Some(db) => {
            Failure::new(format!("{at} refused the connection: {} (SQLSTATE {})", db.message(), db.code().code()))
        }
        None => {
            let Failure(cause) = describe(error);
            Failure::new(format!(
                "cannot connect to {at}: {cause}. Is a node running there? `cairn start --data DIR` starts one."
            ))
        }
    }
}

/// An error of the client library in one sentence.
pub fn describe(error: &tokio_postgres::Error) -> Failure {
    if let Some(db) = error.as_db_error() {
        return Failure::new(format!("{} (SQLSTATE {})", db.message(), db.code().code()));
    }
    let mut source: &dyn std::error::Error = error;
    while let Some(cause) = source.source() {
        source = cause;
    }
    Failure::new(source.to_string())
}
