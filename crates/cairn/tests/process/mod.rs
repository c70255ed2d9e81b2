//! One `cairn start` process of a test, on ports of its own, ended when the test ends.
#![expect(clippy::disallowed_types, reason = "a test looks for a free port itself")]
#![allow(dead_code, reason = "each test uses a part")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub struct Node {
    pub child: Child,
    pub url: String,
    pub sql: String,
    pub rpc: String,
    pub http: String,
}

impl Node {
    /// Starts a node and waits for its ready line.
    pub fn start(data: &Path, arguments: &[&str]) -> Node {
        let [sql, rpc, http] = [(); 3].map(|()| free_address());
        let mut child = command()
            .arg("start")
            .arg("--data")
            .arg(data)
            .args(["--sql-addr", &sql, "--rpc-addr", &rpc, "--http-addr", &http])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output is piped");
        BufReader::new(stdout).read_line(&mut line).expect("its output can be read");
        let url = line
            .trim()
            .strip_prefix("ready: ")
            .unwrap_or_else(|| panic!("the first line is the ready line, not {line:?}"))
            .to_owned();
        Node { child, url, sql, rpc, http }
    }

    /// SIGTERM, and the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let pid = i32::try_from(self.child.id()).expect("process numbers are small");
        // SAFETY: a signal to a child that has not been waited for.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        self.child.wait().expect("a child can be waited for").code()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

pub fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_cairn"))
}

pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").to_string()
}
