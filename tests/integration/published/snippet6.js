class AIChat {
constructor() {
this.apiUrl = 'https://gpt-oss-2t-ai.hf.space/api';
this.messages = [];
}
async sendMessage(userMessage) {
// Add user message to history
this.messages.push({ role: 'user', content: userMessage });
const response = await fetch(this.apiUrl, {
method: 'POST',
headers: { 'Content-Type': 'application/json' },
body: JSON.stringify({
messages: this.messages,
stream: false,
temperature: 0.8
})
});
const data = await response.json();
const aiResponse = data.choices[0].message.content;
// Add AI response to history
this.messages.push({ role: 'assistant', content: aiResponse });
return aiResponse;
}
// Clear chat history
reset() {
this.messages = [];
}
}
// Usage:
const chat = new AIChat();
const response = await chat.sendMessage('Hello!');
console.log(response);
