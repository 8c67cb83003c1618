//! What a connection is like, and what it withstands.

mod gateway;

use std::time::Duration;

use gateway::{delta, Gateway};
use headgate_client::tonic::metadata::MetadataValue;
use headgate_client::tonic::transport::{Certificate, ClientTlsConfig};
use headgate_client::tonic::{Code, Request};
use headgate_client::{ChatRequest, Client, ConfigError, Event};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::join;
use tokio::time::{timeout, Instant};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200`, and `grpc-status: 0` as a literal (RFC 7541).
const OK_HEAD: &[u8] = b"\x88";
const OK_TRAILERS_ONLY: &[u8] = b"\x88\x00\x0bgrpc-status\x010";

/// The other end of a connection, frame by frame (RFC 9113, 4.1).
struct Frames(DuplexStream);

impl Frames {
    async fn open(mut io: DuplexStream) -> Self {
        let mut preface = [0; 24];
        io.read_exact(&mut preface).await.unwrap();
        let mut frames = Self(io);
        frames.write(SETTINGS, 0, 0, b"").await;
        frames
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write_all(&frame).await.unwrap();
    }

    /// The stream of the next frame of a kind; others are passed over.
    async fn next(&mut self, wanted: u8) -> u32 {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.0.read_exact(&mut payload).await.unwrap();
            if head[3] == wanted {
                return u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            }
        }
    }

    /// Waits for a ping, for a minute of the test's clock.
    async fn ping(&mut self) {
        timeout(Duration::from_secs(60), self.next(PING)).await.expect("no ping came");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_connection_is_found_by_a_ping_after_30_s_and_given_up_10_s_later() {
    let (mut gateway, client) = Gateway::start();
    let began = Instant::now();
    let serve = async {
        let mut frames = Frames::open(gateway.connection().await).await;
        frames.ping().await;
        assert_eq!(began.elapsed().as_secs(), 30);
        frames // kept open, and never answers
    };
    // One attempt only: the second would wait for a connection that nobody takes.
    let mut request = Request::new(ChatRequest::from("Hello"));
    request.set_timeout(Duration::from_secs(40) + Duration::from_millis(100));
    let (answer, _frames) = join!(client.chat(request), serve);
    let error = answer.unwrap_err();
    assert_eq!((error.code(), began.elapsed().as_secs()), (Code::Unavailable, 40), "{error}");
}

#[tokio::test(start_paused = true)]
async fn pings_go_on_while_there_are_no_calls() {
    let (mut gateway, client) = Gateway::start();
    let began = Instant::now();
    let serve = async {
        let mut frames = Frames::open(gateway.connection().await).await;
        let stream = frames.next(HEADERS).await;
        frames.write(HEADERS, END_STREAM | END_HEADERS, stream, OK_TRAILERS_ONLY).await;
        frames
    };
    let (stream, mut frames) = join!(client.stream_chat(ChatRequest::from("Hello")), serve);
    drop(stream);
    frames.ping().await;
    assert_eq!(began.elapsed().as_secs(), 30);
}

#[tokio::test]
async fn deltas_that_come_after_many_cancels_leave_the_connection_alone() {
    let (mut gateway, client) = Gateway::start();
    let mut frames = None;
    for _ in 0..1200 {
        let serve = async {
            let mut frames = match frames.take() {
                None => Frames::open(gateway.connection().await).await,
                Some(frames) => frames,
            };
            let stream = frames.next(HEADERS).await;
            frames.write(HEADERS, END_HEADERS, stream, OK_HEAD).await;
            (frames, stream)
        };
        let (answer, (mut at, stream)) = join!(client.stream_chat(ChatRequest::from("a")), serve);
        drop(answer.unwrap());
        assert_eq!(at.next(RST_STREAM).await, stream);
        // It was on its way. h2 remembers 50 such streams for a second; of the others it counts
        // what comes late, 1024 times in the connection's life unless it is told not to.
        at.write(DATA, 0, stream, b"late").await;
        frames = Some(at);
    }
    assert!(gateway.is_idle(), "another connection was opened");
}

#[tokio::test]
async fn a_reader_that_stalls_does_not_break_the_streams_of_others() {
    let (mut gateway, client) = Gateway::start();
    let ask = || client.stream_chat(ChatRequest::from("Hello"));
    let (stalled, mut flood) = join!(ask(), async { gateway.call().await.answer() });
    let (reader, mut answer) = join!(ask(), async { gateway.call().await.answer() });
    let (_stalled, mut reader) = (stalled.unwrap(), reader.unwrap());
    for position in 1..=20_000 {
        flood.event(delta("a", position));
    }
    for position in 1..=2_000 {
        answer.event(delta("a", position));
        let event = reader.next().await.unwrap().unwrap();
        assert!(matches!(event, Event::Delta(delta) if delta.position == position));
    }
}

#[tokio::test]
async fn a_call_says_who_calls_and_carries_the_token() {
    let builder = Client::builder("http://gateway").token("s3cret");
    let (mut gateway, client) = Gateway::start_for(builder);
    let (_, call) = join!(client.chat(ChatRequest::from("Hello")), async {
        let call = gateway.call().await;
        let seen = ["user-agent", "authorization"].map(|name| call.header(name).to_owned());
        call.refuse(Code::Internal, &[]);
        seen
    });
    assert!(call[0].starts_with("headgate-client-rust/0.1.0 "), "{}", call[0]);
    assert_eq!(call[1], "Bearer s3cret");

    let mut request = Request::new(ChatRequest::from("Hello"));
    let own = MetadataValue::from_static("Bearer of-this-call");
    request.metadata_mut().insert("authorization", own);
    let (_, header) = join!(client.chat(request), async {
        let call = gateway.call().await;
        let header = call.header("authorization").to_owned();
        call.refuse(Code::Internal, &[]);
        header
    });
    assert_eq!(header, "Bearer of-this-call");
}

#[tokio::test]
async fn what_is_printed_for_debugging_tells_no_secret() {
    let builder = Client::builder("localhost:1").token("s3cret");
    let printed = format!("{builder:?} {:?}", builder.clone().connect_lazy().unwrap());
    assert!(printed.contains("localhost:1") && !printed.contains("s3cret"), "{printed}");
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_one_line() {
    let refused = |result: Result<Client, ConfigError>| match result {
        Ok(_) => panic!("it was taken"),
        Err(error) => error.to_string(),
    };
    for token in ["", "two\nlines", "ü", "\u{7f}"] {
        let error = refused(Client::builder("localhost:1").token(token).connect_lazy());
        assert!(error.contains("printable ASCII") && !error.contains('\n'), "{error}");
        assert!(token.is_empty() || !error.contains(token));
    }
    let error = refused(Client::new("no target"));
    assert!(error.contains("\"no target\""), "{error}");
    let tls = || ClientTlsConfig::new().ca_certificate(Certificate::from_pem("none"));
    for plaintext in ["http://localhost:1", "unix:/run/headgate"] {
        let error = refused(Client::builder(plaintext).tls(tls()).connect_lazy());
        assert!(error.contains("plaintext"), "{error}");
    }
}

#[tokio::test]
async fn targets_are_written_in_several_ways() {
    let uri = |target: &str| Client::builder(target).endpoint().unwrap().uri().to_string();
    assert_eq!(uri("localhost:50051"), "http://localhost:50051/");
    assert_eq!(uri("dns:///gateway:50051"), "http://gateway:50051/");
    assert_eq!(uri("[::1]:50051"), "http://[::1]:50051/");
    assert_eq!(uri("http://gateway:50051"), "http://gateway:50051/");
    assert!(Client::builder("unix:/run/headgate").endpoint().is_ok());
    let tls = Client::builder("gateway:443").tls(ClientTlsConfig::new());
    assert_eq!(tls.endpoint().unwrap().uri().scheme_str(), Some("https"));
}
