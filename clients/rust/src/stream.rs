//! An answer that comes in pieces.

use std::future::{poll_fn, Future};
use std::pin::{pin, Pin};
use std::task::{ready, Context, Poll};

use futures_core::Stream;
use tonic::metadata::MetadataMap;
use tonic::{Status, Streaming};

use crate::v1::{Queued, StreamChatResponse, StreamFinished, StreamStarted, Usage};
use crate::{Error, Event};

/// A streamed answer: a [`Stream`] of events, which ends with the first error.
///
/// Dropping it cancels the call, and the gateway stops the upstream.
#[derive(Debug)]
pub struct ChatStream {
    messages: Option<Streaming<StreamChatResponse>>,
    position: i32,
    queued: Option<Queued>,
    started: Option<StreamStarted>,
    finished: Option<StreamFinished>,
    trailers: MetadataMap,
}

impl ChatStream {
    /// Reads what a StreamChat of the generated stub's has answered.
    pub fn new(messages: Streaming<StreamChatResponse>) -> Self {
        Self {
            messages: Some(messages),
            position: 0,
            queued: None,
            started: None,
            finished: None,
            trailers: MetadataMap::new(),
        }
    }

    /// Waits for the next event; `None` after the end, or after an error.
    ///
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The text of the first choice.
    pub fn into_text(self) -> TextStream {
        TextStream { stream: self }
    }

    /// The latest place in line, if the request asks for `queue_updates`.
    pub fn queued(&self) -> Option<&Queued> {
        self.queued.as_ref()
    }

    /// Who answers; there before the first delta.
    pub fn started(&self) -> Option<&StreamStarted> {
        self.started.as_ref()
    }

    /// How the answer ended; there when it is whole.
    pub fn finished(&self) -> Option<&StreamFinished> {
        self.finished.as_ref()
    }

    /// Tokens as the upstream counted them; there when the answer is whole, if it did.
    pub fn usage(&self) -> Option<&Usage> {
        self.finished()?.usage.as_ref()
    }

    /// How many deltas of the upstream have been read.
    pub fn position(&self) -> i32 {
        self.position
    }

    /// The trailing metadata of an answer that is whole; an error has its own.
    pub fn trailers(&self) -> &MetadataMap {
        &self.trailers
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Delta(delta) => self.position = delta.position,
            Event::Queued(queued) => self.queued = Some(*queued),
            Event::Started(started) => self.started = Some(started.clone()),
            Event::Finished(finished) => self.finished = Some(finished.clone()),
            Event::Heartbeat(_) => {}
        }
    }

    /// An answer without its end is no whole answer, whatever the status.
    fn ended(&self) -> Option<Result<Event, Error>> {
        if self.finished.is_some() {
            return None;
        }
        let cut = "the stream ended without its finished event";
        Some(Err(Error::at(Status::internal(cut), self.position)))
    }
}

impl Stream for ChatStream {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(messages) = &mut self.messages else { return Poll::Ready(None) };
            let message = ready!(Pin::new(&mut *messages).poll_next(cx));
            match message {
                Some(Ok(StreamChatResponse { event: Some(event) })) => {
                    self.note(&event);
                    return Poll::Ready(Some(Ok(event)));
                }
                Some(Ok(_)) => {} // an event of a later version
                Some(Err(status)) => {
                    self.messages = None;
                    return Poll::Ready(Some(Err(Error::at(status, self.position))));
                }
                None => {
                    // At the end of the stream they are there, so this does not wait.
                    let trailers = pin!(messages.trailers()).poll(cx);
                    if let Poll::Ready(Ok(Some(trailers))) = trailers {
                        self.trailers = trailers;
                    }
                    self.messages = None;
                    return Poll::Ready(self.ended());
                }
            }
        }
    }
}

/// The text of a streamed answer's first choice: a [`Stream`] of pieces, none of them empty.
///
/// It ends as its [`ChatStream`] does: an error is its last item, and without one the text is
/// whole. Dropping it cancels the call.
#[derive(Debug)]
pub struct TextStream {
    stream: ChatStream,
}

impl TextStream {
    /// Waits for the next piece; `None` after the end, or after an error.
    pub async fn next(&mut self) -> Option<Result<String, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The stream that this is the text of, and what it knows so far.
    pub fn stream(&self) -> &ChatStream {
        &self.stream
    }
}

impl Stream for TextStream {
    type Item = Result<String, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
                Some(Ok(Event::Delta(delta)))
                    if delta.choice_index == 0 && !delta.content.is_empty() =>
                {
                    return Poll::Ready(Some(Ok(delta.content)));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}
