//! What is tried again, when, and what is not: gRFC A6 with the project's service config.

mod gateway;

use std::time::Duration;

use gateway::{delta, Call, Gateway};
use h2::Reason;
use headgate_client::tonic::{Code, Request};
use headgate_client::{ChatRequest, ChatResponse, Client, Error};
use tokio::join;
use tokio::time::Instant;

const PUSHBACK: &str = "grpc-retry-pushback-ms";

async fn chat(client: &Client) -> Result<ChatResponse, Error> {
    client.chat(ChatRequest::from("Hello")).await
}

fn succeed(call: Call) {
    let mut answer = call.answer();
    answer.send(&ChatResponse::default());
    answer.end(Code::Ok, &[]);
}

/// Refuses every attempt of a call, and returns how many there were.
async fn attempts_at(
    gateway: &mut Gateway,
    client: &Client,
    code: Code,
    trailers: &[(&str, &str)],
) -> usize {
    attempts_of(ChatRequest::from("Hello"), gateway, client, code, trailers).await
}

async fn attempts_of(
    request: ChatRequest,
    gateway: &mut Gateway,
    client: &Client,
    code: Code,
    trailers: &[(&str, &str)],
) -> usize {
    let mut asking = std::pin::pin!(client.chat(request));
    for count in 0.. {
        tokio::select! {
            biased;
            call = gateway.call() => call.refuse(code, trailers),
            answer = &mut asking => {
                assert_eq!(answer.unwrap_err().code(), code);
                return count;
            }
        }
    }
    unreachable!()
}

#[tokio::test(start_paused = true)]
async fn unavailable_is_tried_three_times_with_growing_jittered_pauses() {
    let (mut gateway, client) = Gateway::start();
    let serve = async {
        let mut pauses = Vec::new();
        for previous in ["", "1", "2"] {
            let began = Instant::now();
            let call = gateway.call().await;
            pauses.push(began.elapsed().as_millis());
            assert_eq!(call.header("grpc-previous-rpc-attempts"), previous);
            assert_eq!(call.head.body(), &ChatRequest::from("Hello"));
            call.refuse(Code::Unavailable, &[("headgate-reason", "UPSTREAM_UNAVAILABLE")]);
        }
        pauses
    };
    let (answer, pauses) = join!(chat(&client), serve);
    assert_eq!(answer.unwrap_err().reason_name(), "UPSTREAM_UNAVAILABLE");
    assert!((160..=241).contains(&pauses[1]) && (320..=481).contains(&pauses[2]), "{pauses:?}");
    assert!(gateway.is_idle());
}

#[tokio::test(start_paused = true)]
async fn the_gateways_pushback_is_waited_for_and_the_deadline_shrinks() {
    let (mut gateway, client) = Gateway::start();
    let mut request = Request::new(ChatRequest::from("Hello"));
    request.set_timeout(Duration::from_secs(60));
    let serve = async {
        let call = gateway.call().await;
        assert_eq!(call.header("grpc-timeout"), "60000m");
        call.refuse(Code::Unavailable, &[(PUSHBACK, "7000")]);
        let began = Instant::now();
        let call = gateway.call().await;
        assert_eq!(began.elapsed().as_secs(), 7);
        let left: u32 = call.header("grpc-timeout").trim_end_matches('m').parse().unwrap();
        assert!((52_990..=53_000).contains(&left), "{left}");
        succeed(call);
    };
    let (answer, ()) = join!(client.chat(request), serve);
    answer.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pushback_that_is_no_count_forbids_another_attempt() {
    for pushbacks in [&["-1"][..], &["soon"], &[""], &["1.5"], &["4294967296"], &["50", "50"]] {
        let (mut gateway, client) = Gateway::start();
        let trailers: Vec<_> = pushbacks.iter().map(|value| (PUSHBACK, *value)).collect();
        let made = attempts_at(&mut gateway, &client, Code::Unavailable, &trailers).await;
        assert_eq!(made, 1, "{pushbacks:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_other_status_is_tried_again_whatever_the_pushback() {
    for code in 1..=16 {
        let code = Code::from(code);
        let (mut gateway, client) = Gateway::start();
        let expected = if code == Code::Unavailable { 3 } else { 1 };
        if code == Code::OutOfRange {
            continue; // told as RESOURCE_EXHAUSTED, which is in this list
        }
        let made = attempts_at(&mut gateway, &client, code, &[(PUSHBACK, "50")]).await;
        assert_eq!(made, expected, "{code:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_tried_again_once_an_answer_has_begun() {
    let (mut gateway, client) = Gateway::start();
    let serve = async {
        let mut answer = gateway.call().await.answer();
        answer.event(delta("a", 1));
        answer.end(Code::Unavailable, &[(PUSHBACK, "50")]);
    };
    let read = async {
        let mut stream = client.stream_chat(ChatRequest::from("Hello")).await.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        stream.next().await.unwrap().unwrap_err()
    };
    let (error, ()) = join!(read, serve);
    assert_eq!(error.code(), Code::Unavailable);
    assert!(gateway.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_and_a_refused_stream_are_tried_again() {
    let (mut gateway, client) = Gateway::start();
    let serve = async {
        gateway.call().await.reset(Reason::REFUSED_STREAM);
        let call = gateway.call().await;
        gateway.die().await;
        drop(call);
        succeed(gateway.call().await);
    };
    let (answer, ()) = join!(chat(&client), serve);
    answer.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pause_beyond_the_deadline_is_not_waited_for() {
    let (mut gateway, client) = Gateway::start();
    let began = Instant::now();
    let mut request = Request::new(ChatRequest::from("Hello"));
    request.set_timeout(Duration::from_secs(5));
    let serve = async { gateway.call().await.refuse(Code::Unavailable, &[(PUSHBACK, "6000")]) };
    let (answer, ()) = join!(client.chat(request), serve);
    assert_eq!((answer.unwrap_err().code(), began.elapsed().as_secs()), (Code::Unavailable, 0));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_covers_all_attempts_and_their_pauses() {
    let (mut gateway, client) = Gateway::start();
    let began = Instant::now();
    let mut request = Request::new(ChatRequest::from("Hello"));
    request.set_timeout(Duration::from_secs(5));
    let serve = async {
        gateway.call().await.refuse(Code::Unavailable, &[(PUSHBACK, "4000")]);
        assert_eq!(gateway.call().await.cancelled().await, Reason::CANCEL);
    };
    let (answer, ()) = join!(client.chat(request), serve);
    assert_eq!(answer.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(began.elapsed().as_millis().div_ceil(10), 500);
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_the_retry_buffer_have_one_attempt() {
    let (mut gateway, client) = Gateway::start();
    for (length, attempts) in [(4 * 1024 * 1024 - 100, 3), (4 * 1024 * 1024, 1)] {
        let request = ChatRequest::from("a".repeat(length));
        let made = attempts_of(request, &mut gateway, &client, Code::Unavailable, &[]).await;
        assert_eq!(made, attempts, "{length} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn retries_stop_while_most_calls_fail_and_come_back_with_success() {
    let (mut gateway, client) = Gateway::start();
    let mut made = Vec::new();
    for _ in 0..169 {
        made.push(attempts_at(&mut gateway, &client, Code::Unavailable, &[]).await);
    }
    // 1000 tokens, one less with each failure; above 500 of them there are retries.
    assert_eq!(made, [vec![3; 166], vec![2, 1, 1]].concat());
    for _ in 0..7 {
        let (answer, ()) = join!(chat(&client), async { succeed(gateway.call().await) });
        answer.unwrap();
    }
    // 498 were left, and a half came with each success: 501.5.
    assert_eq!(attempts_at(&mut gateway, &client, Code::Unavailable, &[]).await, 2);
}
