package main

import "github.com/sluicegate/sluice/internal/llm"

const (
	inputs, outputs                          = "7001", "7002"
	cachedIn, written, reasoned, searched    = "1111", "1222", "1333", "1444"
	said, thought, signed, cited, thePicture = "SAID", "THOUGHT", "U0lHTkVE", "https://example.com/cited", "UElDVFVSRQ=="
)

var text1 = []string{said}

// speakers are the columns, with an example of each kind that the protocol's
// answers know.
var speakers = []speaker{
	{"OpenAI chat", llm.ProtoOpenAI, chatAnswers()},
	{"OpenAI Responses", llm.ProtoResponses, responsesAnswers()},
	{"Anthropic", llm.ProtoAnthropic, anthropicAnswers()},
	{"Gemini", llm.ProtoGemini, geminiAnswers()},
	{"Bedrock", llm.ProtoBedrock, bedrockAnswers()},
	{"Cohere", llm.ProtoCohere, cohereAnswers()},
	{"Ollama", llm.ProtoOllama, ollamaAnswers()},
}

func chatAnswers() map[string]answer {
	message := func(m string) string {
		return `{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant",` + m + `},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":5}}`
	}
	usage := func(u string) string {
		return `{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}],"usage":{` + u + `}}`
	}
	const call = `{"id":"call_A","type":"function","function":{"name":"weather","arguments":"{\"city\":\"OSLO\"}"}}`
	const second = `{"id":"call_B","type":"function","function":{"name":"clock","arguments":"{}"}}`
	return map[string]answer{
		"text":                   {message(`"content":"` + said + `"`), text1},
		"tool call":              {message(`"content":null,"tool_calls":[` + call + `]`), []string{"call_A", "weather", "OSLO"}},
		"several tool calls":     {message(`"content":null,"tool_calls":[` + call + `,` + second + `]`), []string{"call_A", "call_B", "clock"}},
		"thinking":               {message(`"reasoning_content":"` + thought + `","content":"x"`), []string{thought}},
		"citation of a web page": {message(`"content":"x","annotations":[{"type":"url_citation","url_citation":{"url":"` + cited + `","title":"T","start_index":0,"end_index":1}}]`), []string{cited}},
		"refusal":                {message(`"content":null,"refusal":"` + said + `"`), text1},
		"audio":                  {message(`"content":null,"audio":{"id":"a1","data":"` + wav + `","transcript":"` + said + `","expires_at":1}`), []string{wav}},
		"log probabilities": {`{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"logprobs":{"content":[{"token":"` + said + `","logprob":-0.5,"bytes":null,"top_logprobs":[]}]},"finish_reason":"stop"}]}`,
			text1},
		"usage: input, output": {usage(`"prompt_tokens":` + inputs + `,"completion_tokens":` + outputs), []string{inputs, outputs}},
		"usage: cached":        {usage(`"prompt_tokens":` + inputs + `,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":` + cachedIn + `}`), []string{cachedIn}},
		"usage: cache written": {usage(`"prompt_tokens":` + inputs + `,"completion_tokens":5,"prompt_tokens_details":{"cache_write_tokens":` + written + `}`), []string{written}},
		"usage: reasoning":     {usage(`"prompt_tokens":5,"completion_tokens":` + outputs + `,"completion_tokens_details":{"reasoning_tokens":` + reasoned + `}`), []string{reasoned}},
	}
}

func responsesAnswers() map[string]answer {
	output := func(items string) string {
		return `{"id":"r1","object":"response","created_at":1,"status":"completed","model":"m","output":[` + items + `],"usage":{"input_tokens":5,"output_tokens":5}}`
	}
	part := func(p string) string {
		return output(`{"type":"message","id":"m1","status":"completed","role":"assistant","content":[` + p + `]}`)
	}
	usage := func(u string) string {
		return `{"id":"r1","object":"response","created_at":1,"status":"completed","model":"m","output":[{"type":"message","id":"m1","role":"assistant","content":[{"type":"output_text","text":"x"}]}],"usage":{` + u + `}}`
	}
	const call = `{"type":"function_call","id":"fc1","call_id":"call_A","name":"weather","arguments":"{\"city\":\"OSLO\"}","status":"completed"}`
	const second = `{"type":"function_call","id":"fc2","call_id":"call_B","name":"clock","arguments":"{}","status":"completed"}`
	return map[string]answer{
		"text":                   {part(`{"type":"output_text","text":"` + said + `"}`), text1},
		"tool call":              {output(call), []string{"call_A", "weather", "OSLO"}},
		"several tool calls":     {output(call + `,` + second), []string{"call_A", "call_B", "clock"}},
		"thinking":               {output(`{"type":"reasoning","id":"rs1","summary":[{"type":"summary_text","text":"` + thought + `"}]},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"x"}]}`), []string{thought}},
		"seal of thinking":       {output(`{"type":"reasoning","id":"rs1","summary":[],"encrypted_content":"` + signed + `"},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"x"}]}`), nil},
		"citation of a web page": {part(`{"type":"output_text","text":"x","annotations":[{"type":"url_citation","url":"` + cited + `","title":"T","start_index":0,"end_index":1}]}`), []string{cited}},
		"refusal":                {part(`{"type":"refusal","refusal":"` + said + `"}`), text1},
		"picture":                {output(`{"type":"image_generation_call","id":"ig1","status":"completed","output_format":"png","result":"` + thePicture + `"}`), []string{thePicture}},
		"log probabilities":      {part(`{"type":"output_text","text":"x","logprobs":[{"token":"` + said + `","logprob":-0.5,"bytes":[],"top_logprobs":[]}]}`), text1},
		"usage: input, output":   {usage(`"input_tokens":` + inputs + `,"output_tokens":` + outputs), []string{inputs, outputs}},
		"usage: cached":          {usage(`"input_tokens":` + inputs + `,"output_tokens":5,"input_tokens_details":{"cached_tokens":` + cachedIn + `}`), []string{cachedIn}},
		"usage: cache written":   {usage(`"input_tokens":` + inputs + `,"output_tokens":5,"input_tokens_details":{"cache_write_tokens":` + written + `}`), []string{written}},
		"usage: reasoning":       {usage(`"input_tokens":5,"output_tokens":` + outputs + `,"output_tokens_details":{"reasoning_tokens":` + reasoned + `}`), []string{reasoned}},
	}
}

func anthropicAnswers() map[string]answer {
	message := func(blocks, usage string) string {
		return `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[` + blocks + `],"stop_reason":"end_turn","stop_sequence":null,"usage":{` + usage + `}}`
	}
	const u, x = `"input_tokens":5,"output_tokens":5`, `{"type":"text","text":"x"}`
	const call = `{"type":"tool_use","id":"toolu_A","name":"weather","input":{"city":"OSLO"}}`
	const second = `{"type":"tool_use","id":"toolu_B","name":"clock","input":{}}`
	return map[string]answer{
		"text":                   {message(`{"type":"text","text":"`+said+`"}`, u), text1},
		"tool call":              {message(call, u), []string{"toolu_A", "weather", "OSLO"}},
		"several tool calls":     {message(call+`,`+second, u), []string{"toolu_A", "toolu_B", "clock"}},
		"thinking":               {message(`{"type":"thinking","thinking":"`+thought+`","signature":"`+signed+`"},`+x, u), []string{thought}},
		"seal of thinking":       {message(`{"type":"thinking","thinking":"t","signature":"`+signed+`"},`+call, u), nil},
		"citation of a web page": {message(`{"type":"text","text":"x","citations":[{"type":"web_search_result_location","url":"`+cited+`","title":"T","cited_text":"q","encrypted_index":"e"}]}`, u), []string{cited}},
		"usage: input, output":   {message(x, `"input_tokens":`+inputs+`,"output_tokens":`+outputs), []string{inputs, outputs}},
		"usage: cached":          {message(x, u+`,"cache_read_input_tokens":`+cachedIn), []string{cachedIn}},
		"usage: cache written":   {message(x, u+`,"cache_creation_input_tokens":`+written), []string{written}},
		"usage: reasoning":       {message(x, `"input_tokens":5,"output_tokens":`+outputs+`,"output_tokens_details":{"thinking_tokens":`+reasoned+`}`), []string{reasoned}},
		"usage: searches":        {message(x, u+`,"server_tool_use":{"web_search_requests":`+searched+`}`), []string{searched}},
	}
}

func geminiAnswers() map[string]answer {
	parts := func(p string) string {
		return `{"responseId":"g1","modelVersion":"m","candidates":[{"index":0,"content":{"role":"model","parts":[` + p + `]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":5}}`
	}
	usage := func(u string) string {
		return `{"responseId":"g1","modelVersion":"m","candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"x"}]},"finishReason":"STOP"}],"usageMetadata":{` + u + `}}`
	}
	const call = `{"functionCall":{"id":"fc_A","name":"weather","args":{"city":"OSLO"}}}`
	const second = `{"functionCall":{"id":"fc_B","name":"clock","args":{}}}`
	return map[string]answer{
		"text":               {parts(`{"text":"` + said + `"}`), text1},
		"tool call":          {parts(call), []string{"fc_A", "weather", "OSLO"}},
		"several tool calls": {parts(call + `,` + second), []string{"fc_A", "fc_B", "clock"}},
		"thinking":           {parts(`{"text":"` + thought + `","thought":true},{"text":"x"}`), []string{thought}},
		"seal of thinking":   {parts(`{"functionCall":{"id":"fc_A","name":"weather","args":{}},"thoughtSignature":"` + signed + `"}`), nil},
		"citation of a web page": {`{"responseId":"g1","modelVersion":"m","candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"x"}]},"finishReason":"STOP","groundingMetadata":{"groundingChunks":[{"web":{"uri":"` + cited + `","title":"T"}}],"groundingSupports":[{"segment":{"startIndex":0,"endIndex":1,"text":"x"},"groundingChunkIndices":[0]}]}}]}`,
			[]string{cited}},
		"picture": {parts(`{"inlineData":{"mimeType":"image/png","data":"` + thePicture + `"}}`), []string{thePicture}},
		"audio":   {parts(`{"inlineData":{"mimeType":"audio/wav","data":"` + wav + `"}}`), []string{wav}},
		"log probabilities": {`{"responseId":"g1","modelVersion":"m","candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"x"}]},"finishReason":"STOP","logprobsResult":{"chosenCandidates":[{"token":"` + said + `","logProbability":-0.5}]}}]}`,
			text1},
		"usage: input, output": {usage(`"promptTokenCount":` + inputs + `,"candidatesTokenCount":` + outputs), []string{inputs, outputs}},
		"usage: cached":        {usage(`"promptTokenCount":` + inputs + `,"candidatesTokenCount":5,"cachedContentTokenCount":` + cachedIn), []string{cachedIn}},
		"usage: reasoning":     {usage(`"promptTokenCount":5,"candidatesTokenCount":5,"thoughtsTokenCount":` + reasoned), []string{reasoned}},
	}
}

func bedrockAnswers() map[string]answer {
	message := func(blocks, usage string) string {
		return `{"output":{"message":{"role":"assistant","content":[` + blocks + `]}},"stopReason":"end_turn","usage":{` + usage + `},"metrics":{"latencyMs":1}}`
	}
	const u, x = `"inputTokens":5,"outputTokens":5,"totalTokens":10`, `{"text":"x"}`
	const call = `{"toolUse":{"toolUseId":"tooluse_A","name":"weather","input":{"city":"OSLO"}}}`
	const second = `{"toolUse":{"toolUseId":"tooluse_B","name":"clock","input":{}}}`
	return map[string]answer{
		"text":                 {message(`{"text":"`+said+`"}`, u), text1},
		"tool call":            {message(call, u), []string{"tooluse_A", "weather", "OSLO"}},
		"several tool calls":   {message(call+`,`+second, u), []string{"tooluse_A", "tooluse_B", "clock"}},
		"thinking":             {message(`{"reasoningContent":{"reasoningText":{"text":"`+thought+`","signature":"`+signed+`"}}},`+x, u), []string{thought}},
		"seal of thinking":     {message(`{"reasoningContent":{"reasoningText":{"text":"t","signature":"`+signed+`"}}},`+call, u), nil},
		"usage: input, output": {message(x, `"inputTokens":`+inputs+`,"outputTokens":`+outputs+`,"totalTokens":14003`), []string{inputs, outputs}},
		"usage: cached":        {message(x, u+`,"cacheReadInputTokens":`+cachedIn), []string{cachedIn}},
		"usage: cache written": {message(x, u+`,"cacheWriteInputTokens":`+written), []string{written}},
	}
}

func cohereAnswers() map[string]answer {
	message := func(m, usage string) string {
		return `{"id":"co1","finish_reason":"COMPLETE","message":{"role":"assistant",` + m + `},"usage":{"tokens":{` + usage + `}}}`
	}
	const u = `"input_tokens":5,"output_tokens":5`
	const call = `{"id":"weather_A","type":"function","function":{"name":"weather","arguments":"{\"city\":\"OSLO\"}"}}`
	const second = `{"id":"clock_B","type":"function","function":{"name":"clock","arguments":"{}"}}`
	return map[string]answer{
		"text":                 {message(`"content":[{"type":"text","text":"`+said+`"}]`, u), text1},
		"tool call":            {message(`"tool_calls":[`+call+`]`, u), []string{"weather_A", "OSLO"}},
		"several tool calls":   {message(`"tool_calls":[`+call+`,`+second+`]`, u), []string{"weather_A", "clock_B"}},
		"thinking":             {message(`"content":[{"type":"thinking","thinking":"`+thought+`"},{"type":"text","text":"x"}]`, u), []string{thought}},
		"usage: input, output": {message(`"content":[{"type":"text","text":"x"}]`, `"input_tokens":`+inputs+`,"output_tokens":`+outputs), []string{inputs, outputs}},
	}
}

func ollamaAnswers() map[string]answer {
	message := func(m, in, out string) string {
		return `{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant",` + m + `},"done":true,"done_reason":"stop","prompt_eval_count":` + in + `,"eval_count":` + out + `}`
	}
	const call, second = `{"function":{"name":"weather","arguments":{"city":"OSLO"}}}`, `{"function":{"name":"clock","arguments":{}}}`
	return map[string]answer{
		"text":                 {message(`"content":"`+said+`"`, "5", "5"), text1},
		"tool call":            {message(`"content":"","tool_calls":[`+call+`]`, "5", "5"), []string{"weather", "OSLO"}},
		"several tool calls":   {message(`"content":"","tool_calls":[`+call+`,`+second+`]`, "5", "5"), []string{"weather", "clock"}},
		"thinking":             {message(`"thinking":"`+thought+`","content":"x"`, "5", "5"), []string{thought}},
		"usage: input, output": {message(`"content":"x"`, inputs, outputs), []string{inputs, outputs}},
	}
}
