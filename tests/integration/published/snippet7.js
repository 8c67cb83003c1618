// Fine-tune AI behavior with parameters
const response = await fetch('https://gpt-oss-2t-ai.hf.space/api', {
method: 'POST',
headers: { 'Content-Type': 'application/json' },
body: JSON.stringify({
messages: [{ role: 'user', content: 'Write a poem' }],
temperature: 0.8, // Default: 0.8 (0.0-2.0)
max_tokens: -1, // Default: -1 (unlimited)
top_p: 0.9, // Default: 0.9 (0.0-1.0)
stream: false
})
});
