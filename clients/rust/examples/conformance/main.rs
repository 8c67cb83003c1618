//! The Rust client's conformance program; tests/conformance/README.md says what it does.

use std::env::{args, Args};
use std::error::Error;
use std::process::ExitCode;
use std::{fs, io};

use headgate_client::tonic::transport::{Certificate, ClientTlsConfig, Identity};
use headgate_client::Client;
use serde_json::{json, Value};
use tokio::io::{stdin, AsyncBufReadExt, BufReader};

mod witness;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conformance: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes the calls of the standard input, one line after the other.
async fn run() -> Result<(), Box<dyn Error>> {
    let client = Options::read(args())?.client()?;
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let line: Value = serde_json::from_str(&line)?;
        let calls = all(&client, &line).await?;
        serde_json::to_writer(io::stdout(), &json!({"name": line["name"], "calls": calls}))?;
        println!();
    }
    Ok(())
}

/// Makes the call as often as the line says, at once.
async fn all(client: &Client, line: &Value) -> Result<Vec<Value>, Box<dyn Error>> {
    let count = line["count"].as_u64().unwrap_or(1);
    let tasks: Vec<_> =
        (0..count).map(|_| tokio::spawn(witness::witness(client.clone(), line.clone()))).collect();
    let mut calls = Vec::new();
    for task in tasks {
        calls.push(task.await?.map_err(|error| format!("the input is no call: {error}"))?);
    }
    Ok(calls)
}

#[derive(Default)]
struct Options {
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    token: Option<String>,
    authority: Option<String>,
    target: String,
}

impl Options {
    fn read(mut args: Args) -> Result<Self, String> {
        let mut options = Self::default();
        let _program = args.next();
        while let Some(arg) = args.next() {
            let option = match arg.as_str() {
                "--ca" => &mut options.ca,
                "--cert" => &mut options.cert,
                "--key" => &mut options.key,
                "--token" => &mut options.token,
                "--authority" => &mut options.authority,
                _ if arg.starts_with("--") => return Err(format!("unknown option {arg}")),
                _ => {
                    options.target = arg;
                    continue;
                }
            };
            *option = Some(args.next().ok_or(format!("{arg} needs a value"))?);
        }
        if options.target.is_empty() {
            return Err("the one argument is the gateway's address".into());
        }
        Ok(options)
    }

    fn client(self) -> Result<Client, Box<dyn Error>> {
        let mut builder = Client::builder(self.target);
        if let Some(token) = self.token {
            builder = builder.token(token);
        }
        if let Some(ca) = self.ca {
            let ca = Certificate::from_pem(fs::read(ca)?);
            let mut tls = ClientTlsConfig::new().ca_certificate(ca);
            if let (Some(cert), Some(key)) = (self.cert, self.key) {
                tls = tls.identity(Identity::from_pem(fs::read(cert)?, fs::read(key)?));
            }
            if let Some(name) = self.authority {
                tls = tls.domain_name(name);
            }
            builder = builder.tls(tls);
        }
        Ok(builder.connect_lazy()?)
    }
}
