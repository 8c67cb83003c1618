// Basic chat completion
const response = await fetch('https://gpt-oss-2t-ai.hf.space/api', {
method: 'POST',
headers: { 'Content-Type': 'application/json' },
body: JSON.stringify({
messages: [
{ role: 'system', content: 'You are a helpful assistant.' },
{ role: 'user', content: 'What is AI?' }
],
stream: false,
temperature: 0.8
})
});
const data = await response.json();
console.log(data.choices[0].message.content);
