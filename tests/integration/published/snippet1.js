const response = await fetch('https://gpt-oss-2t-ai.hf.space/api', {
method: 'POST',
headers: { 'Content-Type': 'application/json' },
body: JSON.stringify({
messages: [{ role: 'user', content: 'Hello!' }],
stream: false,
temperature: 0.8
})
});
const data = await response.json();
console.log(data.choices[0].message.content);
