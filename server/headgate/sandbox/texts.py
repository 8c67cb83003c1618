"""The sandbox's texts, as scripts (see script.py). `$x` is a fact that topics.py puts in."""
# ruff: noqa: RUF001 - other languages have marks of their own

HELLO = (
    "{Hello|Hi|Good day|Hey there}$name{!|.} {Nice to see you.|Welcome.|Good of you to look in.} "
    "I am the headgate sandbox — a small program that plays the part of a chat model, "
    "{so that you can try the API without a key|so that there is something to talk to}. "
    "{Ask me for a story|Ask me for a poem|Ask me about headgate}, "
    "{tell me your name|let me count to 20|ask what I am}, {or simply say something|or just chat}."
)
HOW_ARE_YOU = (
    "{Very well, thank you|All gates open, thank you|Fine, thank you}. "
    "{No queue, no errors, nothing to complain about.|The water is calm and so am I.} "
    "{And you?|How are you?|What shall we talk about?}"
)
THANKS = "{You are welcome|With pleasure|Any time|Gladly done}! {Is there more?|What is next?}"
GOODBYE = "{Goodbye|See you|Until next time}! {It was a pleasure.|Come back when you like.}"
WHO = (
    "I am headgate-sandbox. {To be honest|Honestly|Plainly said}: I am no language model. "
    "I am a {few hundred lines of Python|small deterministic program} that "
    "{looks for words it knows|recognises a few patterns} and answers with "
    "{prepared phrases|phrases from a small stock}. "
    "But I obey temperature, top_p, seed, stop and max_tokens as a model does, "
    "and I stream token by token, so {your code cannot tell the difference|it is a fair rehearsal}."
)
HELP = (
    "{Here is what I know|This is what I can do}:\n"
    "- tell a story, a poem or a joke\n"
    "- remember your name, and what you said before\n"
    "- count to 500, which makes a long stream\n"
    "- repeat something after me: write “say” and a text\n"
    "- do a little arithmetic, like 6 * 7\n"
    "- tell which system prompt I was given\n"
    "- call your tools, answer in JSON, and think first when reasoning_effort is set\n"
    "- explain headgate, its limits and its parameters"
)
STORY = (
    "{Once upon a time|Long ago|In a wet year}, where the river {Loire|Meuse|Tagus|Neckar} leaves "
    "the {hills|mountains}, there {lived|worked} a gatekeeper named {hero=Ada|Bram|Zoé|Mirela}. "
    "The whole work was one {wooden|iron|oak} gate at the head of a canal — "
    "{open it a little, close it a little|up a hand, down a hand}, and never let in more water "
    "than the {mill|millwheel} could bear.\n\n"
    "One {spring|autumn} morning {everyone came at once|a whole crowd stood before the gate}: "
    "the {miller|baker}, the {dyer|weaver}, {three|seven} {farmers|gardeners} and a "
    "{small boy|girl} with a {paper boat|boat of bark}. "
    "“Water!” they {cried|shouted|called}, “and now!”\n\n"
    "$hero {thought|waited} for a moment. “The river gives two buckets a second,” $hero said, "
    "“and {no shouting makes it three|not one drop more}. But I can tell each of you, "
    "{to the minute|exactly}, when your turn is.” "
    "And so it {was|went}: they stood in {fair|good} order, nobody was {forgotten|passed over}, "
    "and the one who had {no time to wait|to leave before noon} was told so {at once|right away} "
    "{and not after an hour|instead of at sunset}.\n\n"
    "In the {evening|last light} the {paper boat|little boat} went through the gate, last of all, "
    "{turning slowly|rocking}, all the way to the {sea|plain}. "
    "{And the mill stands to this day.|And if the gate has not rusted, it still opens.}"
)
POEM = (
    "{The river comes|The water comes|The rain comes down} with {much|so much|a tale} to tell,\n"
    "the gate {says: slowly|says: one by one|stands calm}, {and|for} all is well.\n"
    "{A drop, a drop|A word, a word|Another one}, {and off|and on|and down} they go,\n"
    "{the smallest stream|the thinnest thread} is {still a|enough to} flow.\n"
    "\n"
    "Who {waits|stands} in line {need never|does not need to} guess,\n"
    "{the hour is known|the place is known}, {no more, no less|and nothing less};\n"
    "and when the {last long|final} {day|word|drop} is done,\n"
    "{the gate counts softly|the keeper whispers}: {that was one|only one}."
)
HAIKU = (
    "{Water at the gate|Rain on the old gate|Night at the canal} —\n"
    "{each drop knows when it may pass|every drop awaits its turn},\n"
    "{the mill turns gently|the mill sleeps gently|how calm the mill turns}."
)
JOKE = (
    "{Why did the request wait so patiently?|What did the gateway say to the impatient client?} "
    "{Because it knew its place in the queue.|“Retry-After you.”}"
)
HEADGATE = (
    "A headgate is the gate at the head of a canal: it decides how much water enters, and when. "
    "The program of that name is {the gRPC front door|a gRPC gateway} of a chat-completion "
    "HTTP API. {It takes typed calls and streams token deltas back|Typed calls go in, token "
    "deltas come out}, it {never puts more load on the upstream than allowed|keeps to the "
    "upstream's pace}, and it {tells every caller when its turn is|never lets a broken stream "
    "look like a finished one}. {You are talking to its sandbox.|I am its sandbox.}"
)
LIMITS = (
    "The published limit is two requests a second for each IP address, at least 500 ms apart. "
    "{A request that comes too early waits in a queue|Early requests are queued}. "
    "{Only when the wait would be too long|Only when there is no room left} do you get status 429 "
    "with Retry-After, {which says when to come back|and that is the time to come back at}."
)
STREAMING = (
    "With “stream”: true — {the default|which is the default} of POST /api — I answer in "
    "server-sent events: every event is a line “data: ” with a JSON chunk, "
    "{one token each|a token in each}, and “data: [DONE]” is the last. "
    "{You are probably watching it now.|With false you get one JSON object.}"
)
TEMPERATURE = (
    "Temperature goes from 0.0 to 2.0 and is 0.8 by default. At 0 I {always say the same|never "
    "vary}; {the higher it is, the more my words vary|higher values vary my words more}. "
    "top_p, 0.9 by default, {cuts off unlikely words|keeps only the likelier words}, "
    "and a seed makes {any answer repeatable|me repeat myself exactly}."
)
CODE = (
    "{Here is a small program that calls me|This calls me from Python|A few lines are enough}:\n\n"
    "$code\n\n"
    "{Put the address of this server into url.|Only url is yours to fill in.} "
    "{I write no other program: I am a sandbox.|It is the only program that I know by heart.}"
)
PYTHON = """```python
import requests

url = "http://127.0.0.1:8080/api"
body = {"messages": [{"role": "user", "content": "Hello!"}], "stream": False}
answer = requests.post(url, json=body, timeout=30).json()
print(answer["choices"][0]["message"]["content"])
```"""
AI = (
    "{Artificial intelligence|AI} is the {craft|art} of making machines do what "
    "{seems to need|takes} a mind: {see, read, plan, converse|reading, planning, speaking}. "
    "Today most of it is {machine learning|learned from examples}: a program with "
    "{billions of|very many} numbers is {trained|adjusted}, {example by example|step by step}, "
    "until its answers are good. A large language model "
    "{predicts the next token, again and again|continues a text, token by token}. "
    "{I only pretend to: I am a sandbox with prepared phrases.|I am none of that — I am a sandbox.}"
)
WEATHER = (
    "{I cannot look outside|There is no window in here}. But {give me a tool|offer me a function} "
    "such as get_weather in “tools”, and I will {call it|ask it} for you."
)
NICE_TO_MEET = (
    "{Nice to meet you|Pleased to meet you|Good to know you}, $name! "
    "{I will remember that|I keep it in mind} {for as long as you send it along|while it is in "
    "the messages}: {the API keeps nothing between requests.|I have no memory of my own.}"
)
YOUR_NAME = "{Your name is|You are|You told me that you are} $name."
NO_NAME = (
    "{You have not told me yet|I do not know it yet}. "
    "{Say “my name is …”|Tell me}, and send the whole conversation with every request."
)
SYSTEM_PROMPT = "{My system prompt is|I was given this system prompt}: “$prompt”"
NO_SYSTEM_PROMPT = "{I was given no system prompt|There is no system prompt} in this conversation."
HOW_MANY = (
    "{This conversation has|I count} $messages so far, $system; "
    "{by my own tokenizer|as I count them} that is a prompt of $tokens."
)
BEFORE = "{Before that you said|The last thing you said was}: “$before”"
NOTHING_BEFORE = (
    "{This is the first thing that you say|You have said nothing before this}, "
    "as far as the messages show."
)
RECKONED = "$sum = $result{.|, if I am not mistaken.|, and that is easy for a program.}"
ADDED_UP = (
    "{I see|There are} $count numbers. Their sum is $sum and their average is $average"
    "{.|, rounded to six digits.}"
)
NO_DIVISION = "{Nothing can be divided by zero|There is no such number}, {not even here|sorry}."
COUNTED_SO_FAR = "$numbers. Here I stop: I count no further than $limit."
TOOL_RESULT = (
    "{The function returned|Your function says|This is what came back}: $result. "
    "{A language model would now explain it|Here a real model would put it into its own words}; "
    "I {only pass it on|just report it}."
)
IMAGES = (
    "{I see that you sent|You sent} $pictures. {My eyes are no good|I cannot look}: "
    "I am a sandbox. But {everything|all of it} arrived {safely|in one piece}."
)
NO_WORDS = (
    "{I found no words in that|That had no words in it}. "
    "{Ask me for a story, or say hello.|Say hello, or ask what I can do.}"
)
ANYTHING = (
    "You {wrote|said|asked}: “$question”\n\n"
    "{That is|I count} $words or $tokens$name, {and the longest is|the longest being} “$longest”. "
    "{I am a sandbox and no language model|I am only the sandbox}, so "
    "{I cannot really answer that|a real answer needs a real model behind this API}. "
    "{Ask me what I can do|Try “tell me a story”|Try “count to 100”}, "
    "{or what headgate is|or just say hello}."
)
BONJOUR = (
    "{Bonjour|Salut}$name ! {Je suis le bac à sable|Ici le bac à sable} de headgate : un petit "
    "programme {très sage|déterministe}, pas un modèle de langue. "
    "{Ça vous plaît ? Très bien.|Parlons un peu, même si je répète.}"
)
HALLO = (
    "{Hallo|Guten Tag|Grüß Gott}$name! {Ich bin der Sandkasten|Hier ist der Sandkasten} von "
    "headgate: ein kleines, {fleißiges|höfliches} Programm und kein Sprachmodell. "
    "{Schön, dass du da bist.|Möchtest du eine Geschichte? Frag auf Englisch.}"
)
HOLA = (
    "{¡Hola|¡Buenos días}$name! {Soy|Aquí está} el sandbox de headgate: un programa pequeño, "
    "no un modelo de lenguaje. {¿Qué tal?|¡Encantado!|¡Bienvenido!}"
)
CHINESE = (
    "{你好|您好}$name！我是 headgate 的沙盒{，|——}一个{小小的|简单的}确定性程序，不是语言模型。"
    "你说的是：“$question”。{我只会几句中文|我的中文不多}，{不过每个字都能完整地传过来|请多包涵}。"
)
CHINESE_NAME = "{你叫|你的名字是}$name。"
REASONING = (
    "{The user wrote|I read} $words{.|, not much more.} ",
    "{I look for a pattern that I know|First I look for words that I know}{.|, in order.} ",
    "{I have a phrase for this|A phrase will do}, {so I choose|and I pick} by temperature. ",
    "{I check that nothing sounds cleverer than it is|It must stay honest: I am a sandbox}{.|!} ",
)
