package learned

import "testing"

// everyday are prompts as people write them, with what they ask for. None of
// them is in make/everyday.txt.
var everyday = []struct{ task, prompt string }{
	{"coding", "Write a Python function that returns the second largest number in a list"},
	{"coding", "my react component re-renders on every keystroke, how do I stop it"},
	{"coding", "Fix this error: TypeError: Cannot read properties of undefined (reading 'map')"},
	{"coding", "What does `git rebase --onto` do and when would I use it?"},
	{"coding", "Convert this SQL query to use a window function:\nSELECT id, MAX(created_at) FROM orders GROUP BY customer_id;"},
	{"coding", "Can you add unit tests for the following class?\n\nclass Stack:\n    def __init__(self):\n        self.items = []\n    def push(self, x):\n        self.items.append(x)"},
	{"coding", "Bash one-liner to delete all files older than 30 days in a directory"},
	{"coding", "implement a debounce hook in typescript"},
	{"coding", "Explain what this regex matches: ^\\d{3}-\\d{4}$"},
	{"coding", "Refactor this Go handler so that it doesn't leak goroutines"},
	{"coding", "Write a Dockerfile for a Node 20 app with a multi-stage build"},
	{"math", "What is 17% of 2,340?"},
	{"math", "Solve for x: 3x + 7 = 22"},
	{"math", "If a train travels 120 km in 1.5 hours, what is its average speed?"},
	{"math", "Find the derivative of x^2 sin(x)"},
	{"math", "A recipe needs 3 cups of flour for 12 cookies. How many cups do I need for 30 cookies?"},
	{"math", "How many ways can 5 people sit around a round table?"},
	{"math", "integrate 1/(1+x^2) from 0 to 1"},
	{"math", "Maria has 24 apples and gives a third of them to her brother. How many does she have left?"},
	{"math", "Prove that the square root of 2 is irrational"},
	{"math", "What's the probability of rolling at least one six in four rolls of a die?"},
	{"reasoning", "All bloops are razzies and some razzies are lazzies. Can we conclude that some bloops are lazzies?"},
	{"reasoning", "Alice is taller than Bob, and Bob is taller than Carol. Who is the shortest? Explain your reasoning."},
	{"reasoning", "Three boxes are labelled wrongly: apples, oranges, mixed. You may take one fruit from one box. How do you find out which is which?"},
	{"reasoning", "Should I buy or lease a car if I drive 8,000 miles a year? Think it through step by step."},
	{"reasoning", "Compare the pros and cons of renting versus buying a house in a big city"},
	{"reasoning", "If every person who enters the room shakes hands with the ones inside, and the last one shook nine hands, what can we deduce about how many were there before?"},
	{"reasoning", "A man says 'I always lie'. Is he telling the truth? Work through the logic."},
	{"reasoning", "We have to choose between hiring two juniors or one senior engineer. Weigh the trade-offs and recommend one."},
	{"reasoning", "Five friends sit in a row. Dan is not next to Eve, and Fay sits at the left end. In which order can they sit?"},
	{"reasoning", "Is the following argument valid? If it rains the street is wet. The street is wet. Therefore it rained."},
	{"knowledge", "What is the capital of Australia?"},
	{"knowledge", "Who painted the Sistine Chapel ceiling?"},
	{"knowledge", "How does photosynthesis work?"},
	{"knowledge", "when did the berlin wall fall"},
	{"knowledge", "What are the symptoms of iron deficiency?"},
	{"knowledge", "Explain the difference between a virus and a bacterium"},
	{"knowledge", "Why is the sky blue?"},
	{"knowledge", "What is the tallest mountain in Africa?"},
	{"knowledge", "how many bones are in the human body"},
	{"knowledge", "What was the cause of the First World War?"},
	{"knowledge", "Who won the FIFA World Cup in 1998?"},
	{"creative", "Write a short story about a lighthouse keeper who finds a message in a bottle"},
	{"creative", "Compose a haiku about autumn leaves"},
	{"creative", "Brainstorm ten names for a coffee shop run by cats"},
	{"creative", "write me a rap verse about monday mornings"},
	{"creative", "Invent a mythical creature that lives in the subway and describe it"},
	{"creative", "Give me a catchy slogan for a bicycle repair shop"},
	{"creative", "Tell me a bedtime story with a dragon and a shy princess"},
	{"creative", "Write the opening scene of a noir detective novel set on Mars"},
	{"creative", "Come up with a plot twist for a heist movie"},
	{"creative", "Write a limerick about a programmer"},
	{"writing", "Write an email to my landlord asking to fix the heating"},
	{"writing", "Proofread this paragraph and fix the grammar: Their going to the store tomorow and we was planning to join."},
	{"writing", "Help me write a cover letter for a marketing manager position"},
	{"writing", "Make this message sound more polite: I need the report now."},
	{"writing", "Draft a LinkedIn post announcing that I got promoted"},
	{"writing", "Rewrite this sentence in a formal tone: gonna be late, sorry"},
	{"writing", "write a resignation letter with two weeks notice"},
	{"writing", "Write a product description for a stainless steel water bottle"},
	{"writing", "Can you improve the wording of my bio for the conference website?"},
	{"writing", "Draft a thank-you note to my colleagues for the farewell gift"},
	{"analysis", "Analyze the sentiment of these customer reviews and tell me the main complaints"},
	{"analysis", "Extract all the dates and amounts from this invoice text"},
	{"analysis", "Here are our sales figures by quarter. What trends do you see?"},
	{"analysis", "Classify each of these support tickets as bug, feature request or question"},
	{"analysis", "Identify the key risks in this contract clause"},
	{"analysis", "Evaluate the strengths and weaknesses of this business plan"},
	{"analysis", "Pull out the names of people and companies mentioned in the article below as JSON"},
	{"analysis", "Look at this survey data and find out which age group is the least satisfied"},
	{"analysis", "Analyze this poem's use of metaphor and imagery"},
	{"analysis", "Is this review positive or negative? 'The screen broke after two days.'"},
	{"summarization", "Summarize the following article in three bullet points"},
	{"summarization", "Give me a TL;DR of this thread"},
	{"summarization", "Can you condense these meeting notes into action items?"},
	{"summarization", "summarize this paper for a non-technical audience"},
	{"summarization", "What are the key takeaways from the text below?"},
	{"summarization", "Shorten this report to one paragraph"},
	{"summarization", "Write a brief summary of the transcript"},
	{"summarization", "Sum up the main points of the email chain below"},
	{"summarization", "Please provide an executive summary of the attached document"},
	{"summarization", "Boil this chapter down to its essentials in under 100 words"},
	{"translation", "Translate 'good morning, how are you?' into Spanish"},
	{"translation", "How do you say 'thank you very much' in Japanese?"},
	{"translation", "Translate the following paragraph to German"},
	{"translation", "what does 'c'est la vie' mean in english"},
	{"translation", "Please translate this email from French to English"},
	{"translation", "Give me the Italian translation of this menu"},
	{"translation", "translate to portuguese: the meeting was moved to friday"},
	{"translation", "Render this sentence in Latin: knowledge is power"},
	{"translation", "Can you put this into Korean for me? See you tomorrow at the station."},
	{"translation", "Translate this product page into Dutch and keep the HTML tags"},
	{"general", "Hi there!"},
	{"general", "how are you today?"},
	{"general", "Thanks, that was really helpful"},
	{"general", "I'm bored, what should I do this weekend?"},
	{"general", "Can you recommend a good movie for tonight?"},
	{"general", "What can you do?"},
	{"general", "I feel a bit down lately and need someone to talk to"},
	{"general", "ok cool"},
	{"general", "Good night, talk to you tomorrow"},
	{"general", "Are you a real person?"},
}

// Nine of ten everyday prompts are told for what they are by the embedded
// router, and nonsense is not told with confidence.
func TestEveryday(t *testing.T) {
	m := Embedded()
	var e Estimate
	right := 0
	for _, x := range everyday {
		m.Estimate(&e, x.prompt)
		task, p := e.Best()
		if m.Tasks[task] == x.task {
			right++
			continue
		}
		t.Logf("%q: %s (%.2f), want %s", x.prompt, m.Tasks[task], p, x.task)
	}
	t.Logf("%d of %d", right, len(everyday))
	if right*10 < len(everyday)*9 {
		t.Errorf("%d of %d everyday prompts are told for what they are", right, len(everyday))
	}
	for _, nonsense := range []string{"", "qwzx vbnrt plokij", "xkcd9 zzgrf ###", "ыва олдж фыва", "blorpt snargle the fweep"} {
		m.Estimate(&e, nonsense)
		if task, p := e.Best(); p > 0.5 && m.Tasks[task] != "general" {
			t.Errorf("%q is taken for %s with %.2f", nonsense, m.Tasks[task], p)
		}
	}
}
