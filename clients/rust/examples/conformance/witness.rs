//! One call, and what was seen of it.

use std::collections::BTreeMap;
use std::error::Error as AnyError;
use std::time::{Duration, Instant};

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use headgate_client::tonic::metadata::{KeyAndValueRef, MetadataKey, MetadataMap};
use headgate_client::tonic::{Code, Request};
use headgate_client::v1::StreamChatResponse;
use headgate_client::{code_name, ChatRequest, ChatStream, Client, Error, Event};
use prost::Message;
use serde_json::{json, Value};
use tokio::time::{sleep, timeout};

#[derive(Default)]
struct Seen {
    events: Vec<(&'static str, u64)>,
    counts: BTreeMap<&'static str, u64>,
    text: BTreeMap<i32, String>,
    messages: Vec<String>,
    trailers: MetadataMap,
}

/// Whether the caller has gone: it dropped the call, which gives no status.
struct Gone;

/// Makes the call of a line, and returns what was seen; the error says what is wrong with the line.
pub async fn witness(
    client: Client,
    line: Value,
) -> Result<Value, Box<dyn AnyError + Send + Sync>> {
    let request = request(&line)?;
    let mut seen = Seen::default();
    let began = Instant::now();
    let patience = line["cancel"]["ms"].as_u64().map_or(Duration::MAX, Duration::from_millis);
    let end = match timeout(patience, seen.call(&client, request, &line)).await {
        Ok(Ok(Some(Gone))) | Err(_) => ended(Code::Cancelled, &MetadataMap::new()),
        Ok(Ok(None)) => ended(Code::Ok, &seen.trailers),
        Ok(Err(error)) => failed(&error),
    };
    let mut result = json!({
        "events": seen.events,
        "text": seen.text,
        "messages": seen.messages,
        "elapsed_ms": milliseconds(began.elapsed()),
    });
    result
        .as_object_mut()
        .expect("made as one")
        .extend(end.as_object().cloned().unwrap_or_default());
    Ok(result)
}

impl Seen {
    async fn call(
        &mut self,
        client: &Client,
        request: Request<ChatRequest>,
        line: &Value,
    ) -> Result<Option<Gone>, Error> {
        if line["method"] == "Chat" {
            let answer = client.stub().chat(request).await?;
            self.trailers = answer.metadata().clone();
            let answer = answer.into_inner();
            self.messages.push(STANDARD.encode(answer.encode_to_vec()));
            for choice in answer.choices {
                self.add(choice.index, &choice.message.unwrap_or_default().content);
            }
            return Ok(None);
        }
        let stream = client.stream_chat(request).await?;
        if line["helper"] == true {
            self.read_text(stream, &line["cancel"]).await
        } else {
            self.read(stream, line).await
        }
    }

    async fn read(&mut self, mut stream: ChatStream, line: &Value) -> Result<Option<Gone>, Error> {
        while let Some(event) = stream.next().await {
            let event = event?;
            if let Event::Delta(delta) = &event {
                self.add(delta.choice_index, &delta.content);
            }
            let name = name(&event);
            let message = StreamChatResponse { event: Some(event) };
            self.messages.push(STANDARD.encode(message.encode_to_vec()));
            let key = if name == "delta" { "deltas" } else { name };
            if line["cancel"][key] == self.count(name) {
                return Ok(Some(Gone));
            }
            if self.messages.len() == 1 {
                sleep(Duration::from_millis(line["pause_ms"].as_u64().unwrap_or(0))).await;
            }
        }
        self.trailers = stream.trailers().clone();
        Ok(None)
    }

    async fn read_text(
        &mut self,
        stream: ChatStream,
        cancel: &Value,
    ) -> Result<Option<Gone>, Error> {
        let mut pieces = 0_u64;
        let mut text = stream.into_text();
        while let Some(piece) = text.next().await {
            self.add(0, &piece?);
            pieces += 1;
            if cancel["deltas"] == pieces {
                return Ok(Some(Gone));
            }
        }
        self.trailers = text.stream().trailers().clone();
        Ok(None)
    }

    /// Adds the event to the runs, and returns how many of its name there were.
    fn count(&mut self, name: &'static str) -> u64 {
        match self.events.last_mut() {
            Some((last, run)) if *last == name => *run += 1,
            _ => self.events.push((name, 1)),
        }
        let count = self.counts.entry(name).or_default();
        *count += 1;
        *count
    }

    fn add(&mut self, choice: i32, content: &str) {
        if !content.is_empty() {
            self.text.entry(choice).or_default().push_str(content);
        }
    }
}

fn request(line: &Value) -> Result<Request<ChatRequest>, Box<dyn AnyError + Send + Sync>> {
    let bytes = STANDARD.decode(line["request"].as_str().ok_or("request is missing")?)?;
    let mut message = ChatRequest::decode(&*bytes)?;
    if let Some(fill) = line["fill"].as_u64() {
        let last = message.messages.last_mut().ok_or("nothing to fill")?;
        last.content = "a".repeat(usize::try_from(fill)?);
    }
    let mut request = Request::new(message);
    for (name, value) in line["metadata"].as_object().into_iter().flatten() {
        let value = value.as_str().ok_or("metadata is text")?.parse()?;
        request.metadata_mut().insert(MetadataKey::from_bytes(name.as_bytes())?, value);
    }
    if let Some(ms) = line["timeout_ms"].as_u64() {
        request.set_timeout(Duration::from_millis(ms));
    }
    Ok(request)
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::Delta(_) => "delta",
        Event::Started(_) => "started",
        Event::Finished(_) => "finished",
        Event::Queued(_) => "queued",
        Event::Heartbeat(_) => "heartbeat",
    }
}

fn ended(code: Code, metadata: &MetadataMap) -> Value {
    json!({
        "code": code_name(code),
        "message": "",
        "reason": "",
        "retry_delay_ms": null,
        "metadata": {},
        "violations": [],
        "trailers": trailers(metadata),
    })
}

fn failed(error: &Error) -> Value {
    let violations: Vec<_> =
        error.violations().iter().map(|wrong| [&wrong.field, &wrong.description]).collect();
    json!({
        "code": code_name(error.code()),
        "message": error.message(),
        "reason": error.reason_name(),
        "retry_delay_ms": error.retry_delay().map(milliseconds),
        "metadata": error.metadata(),
        "violations": violations,
        "trailers": trailers(error.trailers()),
    })
}

fn trailers(metadata: &MetadataMap) -> BTreeMap<String, String> {
    let known = |name: &str| {
        name.starts_with("headgate-") || ["x-request-id", "grpc-retry-pushback-ms"].contains(&name)
    };
    let texts = metadata.iter().filter_map(|pair| match pair {
        KeyAndValueRef::Ascii(name, value) if known(name.as_str()) => {
            Some((name.to_string(), value.to_str().ok()?.to_owned()))
        }
        _ => None,
    });
    texts.collect()
}

fn milliseconds(duration: Duration) -> u64 {
    (duration.as_secs_f64() * 1000.0).round() as u64
}
