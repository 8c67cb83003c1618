//! What a caller sees of its calls.

mod gateway;

use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use gateway::{delta, finished, started, Gateway};
use h2::Reason;
use headgate_client::tonic::{Code, Request};
use headgate_client::v1::{ChatChoice, ChatDelta, Heartbeat, StreamChatResponse};
use headgate_client::{
    ChatMessage, ChatRequest, ChatResponse, ChatStream, Client, Error, Event, Role,
};
use tokio::join;
use tokio::time::Instant;

async fn ask(client: &Client) -> Result<ChatStream, Error> {
    client.stream_chat(ChatRequest::from("Hello")).await
}

fn is_a_stream<T>(_: Pin<&mut impl Stream<Item = Result<T, Error>>>) {}

#[tokio::test]
async fn the_text_is_the_first_choices_and_the_stream_knows_the_rest() {
    let (mut gateway, client) = Gateway::start();
    let other = ChatDelta { choice_index: 1, content: "no".into(), position: 3, ..<_>::default() };
    let serve = async {
        let call = gateway.call().await;
        assert_eq!(call.head.body().messages, [ChatMessage::new(Role::User, "Hello")]);
        let mut answer = call.answer();
        answer.event(Event::Heartbeat(Heartbeat {}));
        answer.event(started("small"));
        answer.event(delta("Hel", 1));
        answer.send_bytes(vec![0, 0, 0, 0, 3, 0xfa, 0x3f, 0x00]); // field 1023: of a later version
        answer.event(delta("", 2));
        answer.event(Event::Delta(other));
        answer.event(delta("lo", 4));
        answer.event(finished());
        answer.end(Code::Ok, &[("x-request-id", "42")]);
    };
    let read = async {
        let mut text = ask(&client).await.unwrap().into_text();
        is_a_stream(Pin::new(&mut text));
        let mut pieces = Vec::new();
        while let Some(piece) = text.next().await {
            pieces.push(piece.unwrap());
        }
        assert_eq!(pieces, ["Hel", "lo"]);
        assert!(text.next().await.is_none());
        let stream = text.stream();
        assert_eq!(stream.started().unwrap().model, "small");
        assert_eq!(stream.position(), 4);
        assert!(stream.finished().is_some());
        assert_eq!(stream.trailers().get("x-request-id").unwrap(), "42");
    };
    join!(serve, read);
}

#[tokio::test]
async fn a_whole_answer_has_its_first_choices_text() {
    let (mut gateway, client) = Gateway::start();
    let choice = |index, text| ChatChoice {
        index,
        message: Some(ChatMessage::new(Role::Assistant, text)),
        ..ChatChoice::default()
    };
    let serve = async {
        let mut answer = gateway.call().await.answer();
        let choices = vec![choice(1, "no"), choice(0, "yes")];
        answer.send(&ChatResponse { choices, ..ChatResponse::default() });
        answer.end(Code::Ok, &[]);
    };
    let (answer, ()) = join!(client.chat(ChatRequest::from("Hello")), serve);
    assert_eq!(answer.unwrap().text(), "yes");
    assert_eq!(ChatResponse::default().text(), "");
}

#[tokio::test]
async fn ok_without_finished_is_no_whole_answer() {
    let (mut gateway, client) = Gateway::start();
    let serve = async {
        let mut answer = gateway.call().await.answer();
        answer.event(delta("a", 7));
        answer.end(Code::Ok, &[]);
    };
    let (stream, ()) = join!(ask(&client), serve);
    let mut stream = stream.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.position_sent()), (Code::Internal, Some(7)));
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn an_error_ends_the_stream_once_and_keeps_what_came() {
    let (mut gateway, client) = Gateway::start();
    let serve = async {
        let mut answer = gateway.call().await.answer();
        answer.event(delta("a", 1));
        answer.end(Code::Aborted, &[("headgate-reason", "STREAM_INTERRUPTED")]);
    };
    let (stream, ()) = join!(ask(&client), serve);
    let mut text = stream.unwrap().into_text();
    assert_eq!(text.next().await.unwrap().unwrap(), "a");
    let error = text.next().await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.reason_name()), (Code::Aborted, "STREAM_INTERRUPTED"));
    assert!(text.next().await.is_none());
}

#[tokio::test]
async fn a_connection_that_breaks_in_mid_answer_interrupts_it() {
    let (mut gateway, client) = Gateway::start();
    let serve = async {
        let mut answer = gateway.call().await.answer();
        answer.event(delta("a", 3));
        answer
    };
    let (stream, answer) = join!(ask(&client), serve);
    let mut stream = stream.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    gateway.die().await;
    drop(answer);
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.position_sent()), (Code::Unavailable, Some(3)));
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_stream_that_the_peer_resets_is_internal_before_and_in_mid_answer() {
    let (mut gateway, client) = Gateway::start();
    let serve = async { gateway.call().await.reset(Reason::INTERNAL_ERROR) };
    let (stream, ()) = join!(ask(&client), serve);
    assert_eq!(stream.unwrap_err().code(), Code::Internal);

    let serve = async {
        let mut answer = gateway.call().await.answer();
        answer.event(delta("a", 1));
        answer
    };
    let (stream, answer) = join!(ask(&client), serve);
    let mut stream = stream.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    answer.reset(Reason::INTERNAL_ERROR);
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.position_sent()), (Code::Internal, Some(1)));
}

#[tokio::test]
async fn the_next_call_finds_a_gateway_that_came_back() {
    let (mut gateway, client) = Gateway::start();
    for _ in 0..3 {
        let serve = async {
            let mut answer = gateway.call().await.answer();
            answer.event(finished());
            answer.end(Code::Ok, &[]);
        };
        let (stream, ()) = join!(ask(&client), serve);
        let mut stream = stream.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        assert!(stream.next().await.is_none());
        gateway.die().await;
    }
}

#[tokio::test]
async fn dropping_a_stream_cancels_the_call() {
    let (mut gateway, client) = Gateway::start();
    let serve = async {
        let mut answer = gateway.call().await.answer();
        answer.event(delta("a", 1));
        answer
    };
    let (stream, answer) = join!(ask(&client), serve);
    let mut text = stream.unwrap().into_text();
    assert_eq!(text.next().await.unwrap().unwrap(), "a");
    drop(text);
    assert_eq!(answer.cancelled().await, Reason::CANCEL);
}

#[tokio::test]
async fn dropping_a_call_before_its_answer_cancels_it() {
    let (mut gateway, client) = Gateway::start();
    let asking = tokio::spawn(async move { client.chat(ChatRequest::from("Hello")).await });
    let call = gateway.call().await;
    asking.abort();
    assert_eq!(call.cancelled().await, Reason::CANCEL);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_told_to_the_gateway_and_kept_before_the_answer() {
    let (mut gateway, client) = Gateway::start();
    let mut request = Request::new(ChatRequest::from("Hello"));
    request.set_timeout(Duration::from_millis(1500));
    let began = Instant::now();
    let serve = async {
        let call = gateway.call().await;
        assert_eq!(call.header("grpc-timeout"), "1500m");
        assert_eq!(call.cancelled().await, Reason::CANCEL);
    };
    let (answer, ()) = join!(client.chat(request), serve);
    assert_eq!(answer.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(began.elapsed().as_millis().div_ceil(10), 150);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_kept_in_mid_answer_also_by_the_generated_stub() {
    let (mut gateway, client) =
        Gateway::start_for(Client::builder("http://gateway").timeout(Duration::from_secs(2)));
    let serve = async {
        let call = gateway.call().await;
        assert_eq!(call.header("grpc-timeout"), "2000m");
        let mut answer = call.answer();
        answer.event(delta("a", 1));
        assert_eq!(answer.cancelled().await, Reason::CANCEL);
    };
    let read = async {
        let answer = client.stub().stream_chat(ChatRequest::from("Hello")).await.unwrap();
        let mut messages = answer.into_inner();
        assert!(matches!(messages.message().await, Ok(Some(StreamChatResponse { .. }))));
        let status = messages.message().await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(Error::from(status).position_sent(), None);
        messages // the call ends although they are kept
    };
    let ((), _messages) = join!(serve, read);
}

#[tokio::test]
async fn messages_over_a_limit_are_resource_exhausted_without_a_reason() {
    let (mut gateway, client) = Gateway::start();
    let request = ChatRequest::from("a".repeat(16 * 1024 * 1024));
    let error = client.chat(request).await.unwrap_err();
    assert_eq!((error.code(), error.reason_name()), (Code::ResourceExhausted, ""));
    assert!(gateway.is_idle());

    let large = ChatResponse { id: "a".repeat(16 * 1024 * 1024 - 5), ..<_>::default() };
    let serve = async {
        let mut answer = gateway.call().await.answer();
        answer.send(&large); // of just 16 MiB
        answer.end(Code::Ok, &[]);
    };
    let (answer, ()) = join!(client.chat(ChatRequest::from("Hello")), serve);
    assert_eq!(answer.unwrap(), large);

    let serve = async {
        let mut answer = gateway.call().await.answer();
        answer.send_bytes(vec![0, 1, 0, 0, 1]); // a message of 16 MiB and a byte begins
        assert_eq!(answer.cancelled().await, Reason::CANCEL);
    };
    let (answer, ()) = join!(client.chat(ChatRequest::from("Hello")), serve);
    assert_eq!(answer.unwrap_err().code(), Code::ResourceExhausted);
}
