//! Streams the answer to a prompt: cargo run --example stream "Tell me a story".

use std::io::{stdout, Write};
use std::time::Duration;

use headgate_client::{tonic, ChatRequest, Client, Error, DEFAULT_TARGET};

async fn stream(client: &Client, prompt: &str) -> Result<(), Error> {
    let mut request = tonic::Request::new(ChatRequest::from(prompt));
    request.set_timeout(Duration::from_secs(60));
    let mut answer = client.stream_chat(request).await?.into_text();
    while let Some(piece) = answer.next().await {
        print!("{}", piece?);
        let _ = stdout().flush(); // print! would have panicked
    }
    println!();
    Ok(())
}

#[tokio::main]
async fn main() {
    let Some(prompt) = std::env::args().nth(1) else {
        fail(&"ask one thing: cargo run --example stream \"Tell me a story\"");
    };
    let target = std::env::var("HEADGATE_TARGET").unwrap_or(DEFAULT_TARGET.into());
    let client = Client::new(target).unwrap_or_else(|error| fail(&error));
    if let Err(error) = stream(&client, &prompt).await {
        match error.retry_delay() {
            Some(delay) => fail(&format!("{error}; try again in {delay:?}")),
            None => fail(&error),
        }
    }
}

fn fail(why: &dyn std::fmt::Display) -> ! {
    eprintln!("{why}");
    std::process::exit(1)
}
