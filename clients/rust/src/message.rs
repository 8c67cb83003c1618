//! What makes the generated messages pleasant to build and to read.

use crate::v1::{ChatMessage, ChatRequest, ChatResponse, Role};

impl ChatMessage {
    /// A message of plain text.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), ..Self::default() }
    }
}

impl From<&str> for ChatRequest {
    /// The request for an answer to what a user says.
    fn from(prompt: &str) -> Self {
        Self::from(prompt.to_owned())
    }
}

impl From<String> for ChatRequest {
    /// The request for an answer to what a user says.
    fn from(prompt: String) -> Self {
        vec![ChatMessage::new(Role::User, prompt)].into()
    }
}

impl From<Vec<ChatMessage>> for ChatRequest {
    /// The request to continue a conversation, oldest message first.
    fn from(messages: Vec<ChatMessage>) -> Self {
        Self { messages, ..Self::default() }
    }
}

impl ChatResponse {
    /// The text of the first choice; empty if there is none.
    pub fn text(&self) -> &str {
        let first = self.choices.iter().find(|choice| choice.index == 0);
        first.and_then(|choice| choice.message.as_ref()).map_or("", |message| &message.content)
    }
}
