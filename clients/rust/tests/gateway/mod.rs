//! A gateway of the tests' own: HTTP/2 by hand, over memory or any other bytes.

#![allow(dead_code, reason = "each file of tests uses a part of it")]

use std::future::{poll_fn, Future};
use std::io;
use std::time::Duration;

use h2::server::SendResponse;
use h2::{Reason, SendStream};
use headgate_client::tonic::codegen::Bytes;
use headgate_client::tonic::{codegen::http, Code};
use headgate_client::v1::{ChatDelta, StreamChatResponse, StreamFinished, StreamStarted};
use headgate_client::{ChatRequest, Client, ClientBuilder, Event};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::io::{duplex, AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower::service_fn;

/// How long anything may take, by the test's clock.
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes calls over connections in memory, so that a test's clock can be a paused one.
pub struct Gateway {
    connections: UnboundedReceiver<DuplexStream>,
    calls: (UnboundedSender<Call>, UnboundedReceiver<Call>),
    tasks: Vec<JoinHandle<()>>,
}

impl Gateway {
    /// A gateway, and a client of it that does not wait for ever.
    pub fn start() -> (Self, Client) {
        Self::start_for(Client::builder("http://gateway").timeout(PATIENCE))
    }

    pub fn start_for(builder: ClientBuilder) -> (Self, Client) {
        let (sender, connections) = unbounded_channel();
        let connect = service_fn(move |_| {
            let (near, far) = duplex(1 << 16);
            let sent = sender.send(far).map_err(|_| io::Error::other("nobody listens"));
            async move { sent.map(|()| TokioIo::new(near)) }
        });
        let channel = builder.endpoint().unwrap().connect_with_connector_lazy(connect);
        let gateway = Self { connections, calls: unbounded_channel(), tasks: Vec::new() };
        (gateway, builder.over(channel).unwrap())
    }

    /// The next call that arrives, within a minute of the test's clock.
    pub async fn call(&mut self) -> Call {
        timeout(PATIENCE, self.arrival()).await.expect("no call arrived")
    }

    async fn arrival(&mut self) -> Call {
        loop {
            tokio::select! {
                Some(call) = self.calls.1.recv() => return call,
                Some(io) = self.connections.recv() => {
                    self.tasks.push(tokio::spawn(serve(io, self.calls.0.clone())));
                }
            }
        }
    }

    /// A connection that the gateway will not answer on.
    pub async fn connection(&mut self) -> DuplexStream {
        self.connections.recv().await.unwrap()
    }

    /// Whether no call waits to be taken.
    pub fn is_idle(&mut self) -> bool {
        self.calls.1.try_recv().is_err() && self.connections.try_recv().is_err()
    }

    /// Breaks all connections.
    pub async fn die(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            let _ = task.await;
        }
    }
}

/// Takes the calls of one connection.
pub async fn serve(io: impl AsyncRead + AsyncWrite + Unpin, calls: UnboundedSender<Call>) {
    let mut connection = h2::server::handshake(io).await.unwrap();
    while let Some(Ok((request, respond))) = connection.accept().await {
        let calls = calls.clone();
        tokio::spawn(async move {
            let (head, mut body) = request.into_parts();
            let mut bytes = Vec::new();
            while let Some(Ok(piece)) = body.data().await {
                let _ = body.flow_control().release_capacity(piece.len());
                bytes.extend_from_slice(&piece);
            }
            let message = ChatRequest::decode(&bytes[5..]).unwrap();
            let _ = calls.send(Call { head: Request::from_parts(head, message), respond });
        });
    }
}

/// A call that has not been answered yet.
pub struct Call {
    pub head: Request<ChatRequest>,
    respond: SendResponse<Bytes>,
}

impl Call {
    pub fn header(&self, name: &str) -> &str {
        self.head.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Ends it with trailers only.
    pub fn refuse(mut self, code: Code, trailers: &[(&str, &str)]) {
        let mut head = grpc_head();
        head.headers_mut().extend(status(code, trailers));
        self.respond.send_response(head, true).unwrap();
    }

    /// Begins an answer.
    pub fn answer(mut self) -> Answer {
        Answer(self.respond.send_response(grpc_head(), false).unwrap())
    }

    pub fn reset(mut self, reason: Reason) {
        self.respond.send_reset(reason);
    }

    /// Waits until the caller has cancelled it.
    pub async fn cancelled(mut self) -> Reason {
        reset(poll_fn(|cx| self.respond.poll_reset(cx))).await
    }
}

/// An answer that is being sent.
pub struct Answer(SendStream<Bytes>);

impl Answer {
    pub fn send(&mut self, message: &impl Message) {
        let mut frame = vec![0; 5];
        message.encode(&mut frame).unwrap();
        let length = u32::try_from(frame.len() - 5).unwrap();
        frame[1..5].copy_from_slice(&length.to_be_bytes());
        self.send_bytes(frame);
    }

    pub fn send_bytes(&mut self, frame: Vec<u8>) {
        self.0.send_data(frame.into(), false).unwrap();
    }

    pub fn event(&mut self, event: Event) {
        self.send(&StreamChatResponse { event: Some(event) });
    }

    pub fn end(mut self, code: Code, trailers: &[(&str, &str)]) {
        self.0.send_trailers(status(code, trailers)).unwrap();
    }

    pub fn reset(mut self, reason: Reason) {
        self.0.send_reset(reason);
    }

    pub async fn cancelled(mut self) -> Reason {
        reset(poll_fn(|cx| self.0.poll_reset(cx))).await
    }
}

async fn reset(coming: impl Future<Output = Result<Reason, h2::Error>>) -> Reason {
    timeout(PATIENCE, coming).await.expect("the call was not cancelled").unwrap()
}

pub fn started(model: &str) -> Event {
    Event::Started(StreamStarted { model: model.into(), ..StreamStarted::default() })
}

pub fn delta(content: &str, position: i32) -> Event {
    Event::Delta(ChatDelta { content: content.into(), position, ..ChatDelta::default() })
}

pub fn finished() -> Event {
    Event::Finished(StreamFinished::default())
}

fn grpc_head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).unwrap()
}

fn status(code: Code, trailers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.insert("grpc-status", HeaderValue::from(code as i32));
    for (name, value) in trailers {
        map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    map
}
