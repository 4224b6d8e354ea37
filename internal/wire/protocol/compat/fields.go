package main

import (
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
)

const (
	png  = "iVBORw0KGgo="
	pdf  = "JVBERi0xLjcK"
	wav  = "UklGRiQAAABXQVZF"
	args = `{\"city\":\"Oslo\"}`
	obj  = `{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}`
)

// add puts members into a body.
func add(body, members string) string { return strings.TrimSuffix(body, "}") + "," + members + "}" }

// in makes a row of a member that stands beside others.
func in(name, body, members string) field {
	return field{name: name, with: add(body, members), without: body}
}

// pair makes a row of two bodies.
func pair(name, with, without string) field { return field{name: name, with: with, without: without} }

// clients are the tables, in the order of the page.
var clients = []client{
	{"OpenAI chat completions", llm.ProtoOpenAI, chatFields()},
	{"OpenAI Responses", llm.ProtoResponses, responsesFields()},
	{"Anthropic messages", llm.ProtoAnthropic, anthropicFields()},
	{"Gemini generateContent", llm.ProtoGemini, geminiFields()},
}

func chatFields() []field {
	msgs := func(list string) string { return `{"model":"m","messages":[` + list + `]}` }
	const user, bot = `{"role":"user","content":"Hello"}`, `{"role":"assistant","content":"Yes"}`
	base := msgs(user)
	part := func(name, part string) field {
		const text = `{"type":"text","text":"Look"}`
		return pair(name, msgs(`{"role":"user","content":[`+text+`,`+part+`]}`), msgs(`{"role":"user","content":[`+text+`]}`))
	}
	const fn = `{"type":"function","function":{"name":"weather","description":"The weather","parameters":` + obj + `}}`
	const fn2 = `{"type":"function","function":{"name":"clock","parameters":{"type":"object","properties":{}}}}`
	tools := add(base, `"tools":[`+fn+`,`+fn2+`]`)
	const call = `{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"` + args + `"}}]}`
	const result = `{"role":"tool","tool_call_id":"call_1","content":"rain"}`
	history := func(list string) string { return add(msgs(list), `"tools":[`+fn+`]`) }
	return []field{
		pair("`messages`: `system`, `developer`", msgs(`{"role":"developer","content":"Be brief"},`+user), base),
		pair("`messages`: `system` later on", msgs(user+`,`+bot+`,{"role":"system","content":"Be brief"},`+user), msgs(user+`,`+bot+`,`+user)),
		pair("`messages`: several turns", msgs(user+`,`+bot+`,{"role":"user","content":"And?"}`), base),
		pair("`messages[].name`", msgs(`{"role":"user","name":"ada","content":"Hello"}`), base),
		part("`image_url`: data", `{"type":"image_url","image_url":{"url":"data:image/png;base64,`+png+`"}}`),
		part("`image_url`: http", `{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}`),
		part("`input_audio`", `{"type":"input_audio","input_audio":{"data":"`+wav+`","format":"wav"}}`),
		part("`file`: data (PDF)", `{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,`+pdf+`"}}`),
		part("`file`: `file_id`", `{"type":"file","file":{"file_id":"file-1"}}`),
		pair("`cache_control` on a part", msgs(`{"role":"user","content":[{"type":"text","text":"Long","cache_control":{"type":"ephemeral"}}]}`), msgs(`{"role":"user","content":[{"type":"text","text":"Long"}]}`)),
		pair("`tool_calls`", history(user+`,`+call+`,`+result), history(user)),
		pair("`tool` message with an image", history(user+`,`+call+`,{"role":"tool","tool_call_id":"call_1","content":[{"type":"text","text":"rain"},{"type":"image_url","image_url":{"url":"data:image/png;base64,`+png+`"}}]}`),
			history(user+`,`+call+`,{"role":"tool","tool_call_id":"call_1","content":[{"type":"text","text":"rain"}]}`)),
		pair("`refusal` of the assistant", msgs(user+`,{"role":"assistant","content":null,"refusal":"No"},`+user), base),
		in("`tools`: function", base, `"tools":[`+fn+`]`),
		pair("`tools`: `strict`", add(base, `"tools":[`+strings.Replace(fn, `"name"`, `"strict":true,"name"`, 1)+`]`), add(base, `"tools":[`+fn+`]`)),
		in("`tools`: custom", base, `"tools":[{"type":"custom","custom":{"name":"patch","description":"Edits"}}]`),
		pair("`tools`: custom with a grammar", add(base, `"tools":[{"type":"custom","custom":{"name":"patch","format":{"type":"grammar","grammar":{"syntax":"regex","definition":"a+"}}}}]`), add(base, `"tools":[{"type":"custom","custom":{"name":"patch"}}]`)),
		in("`web_search_options`", base, `"web_search_options":{}`),
		in("`tool_choice`: `none`", tools, `"tool_choice":"none"`),
		in("`tool_choice`: `required`", tools, `"tool_choice":"required"`),
		in("`tool_choice`: one", tools, `"tool_choice":{"type":"function","function":{"name":"clock"}}`),
		in("`tool_choice`: `allowed_tools`", tools, `"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"clock"}}]}}`),
		in("`parallel_tool_calls`: false", tools, `"parallel_tool_calls":false`),
		in("`functions` (old)", base, `"functions":[{"name":"weather","parameters":`+obj+`}]`),
		in("`response_format`: `json_schema`", base, `"response_format":{"type":"json_schema","json_schema":{"name":"place","strict":true,"schema":`+obj+`}}`),
		pair("`response_format`: `json_object`", add(msgs(`{"role":"user","content":"In JSON"}`), `"response_format":{"type":"json_object"}`), msgs(`{"role":"user","content":"In JSON"}`)),
		in("`reasoning_effort`", base, `"reasoning_effort":"low"`),
		in("`max_completion_tokens`, `max_tokens`", base, `"max_completion_tokens":99`),
		in("`temperature`", base, `"temperature":0.5`),
		in("`temperature` above 1", base, `"temperature":1.5`),
		in("`top_p`", base, `"top_p":0.5`),
		in("`top_k`", base, `"top_k":9`),
		in("`stop`", base, `"stop":["END"]`),
		in("`n`", base, `"n":2`),
		in("`seed`", base, `"seed":7`),
		in("`frequency_penalty`", base, `"frequency_penalty":0.5`),
		in("`presence_penalty`", base, `"presence_penalty":0.5`),
		in("`logprobs`, `top_logprobs`", base, `"logprobs":true,"top_logprobs":2`),
		in("`logit_bias`", base, `"logit_bias":{"5":1}`),
		in("`modalities`, `audio`", base, `"modalities":["text","audio"],"audio":{"voice":"alloy","format":"wav"}`),
		in("`prediction`", base, `"prediction":{"type":"content","content":"x"}`),
		in("`user`, `safety_identifier`", base, `"user":"u1"`),
		in("`metadata`", base, `"metadata":{"team":"a"}`),
		in("`service_tier`", base, `"service_tier":"flex"`),
		in("`prompt_cache_key`", base, `"prompt_cache_key":"k"`),
		in("`verbosity`", base, `"verbosity":"low"`),
		in("`store`", base, `"store":true`),
		in("a field that nobody knows", base, `"new_field":1`),
	}
}

func responsesFields() []field {
	items := func(list string) string { return `{"model":"m","input":[` + list + `]}` }
	const user, bot = `{"role":"user","content":"Hello"}`, `{"role":"assistant","content":"Yes"}`
	base := items(user)
	part := func(name, part string) field {
		const text = `{"type":"input_text","text":"Look"}`
		return pair(name, items(`{"role":"user","content":[`+text+`,`+part+`]}`), items(`{"role":"user","content":[`+text+`]}`))
	}
	const fn = `{"type":"function","name":"weather","description":"The weather","parameters":` + obj + `}`
	const fn2 = `{"type":"function","name":"clock","parameters":{"type":"object","properties":{}}}`
	tools := add(base, `"tools":[`+fn+`,`+fn2+`]`)
	history := func(list string) string { return add(items(list), `"tools":[`+fn+`]`) }
	const call = `{"type":"function_call","call_id":"call_1","name":"weather","arguments":"` + args + `"}`
	return []field{
		in("`instructions`", base, `"instructions":"Be brief"`),
		pair("`input`: `developer` later on", items(user+`,`+bot+`,{"role":"developer","content":"Be brief"},`+user), items(user+`,`+bot+`,`+user)),
		pair("`input`: several turns", items(user+`,`+bot+`,{"role":"user","content":"And?"}`), base),
		part("`input_image`: data", `{"type":"input_image","image_url":"data:image/png;base64,`+png+`"}`),
		part("`input_image`: http", `{"type":"input_image","image_url":"https://example.com/a.png"}`),
		part("`input_image`: `file_id`", `{"type":"input_image","file_id":"file-1"}`),
		part("`input_file`: data (PDF)", `{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,`+pdf+`"}`),
		part("`input_file`: http", `{"type":"input_file","file_url":"https://example.com/a.pdf"}`),
		pair("`prompt_cache_breakpoint`", items(`{"role":"user","content":[{"type":"input_text","text":"Long","prompt_cache_breakpoint":{"mode":"explicit"}}]}`), items(`{"role":"user","content":[{"type":"input_text","text":"Long"}]}`)),
		pair("`function_call`, `function_call_output`", history(user+`,`+call+`,{"type":"function_call_output","call_id":"call_1","output":"rain"}`), history(user)),
		pair("`function_call_output` with an image", history(user+`,`+call+`,{"type":"function_call_output","call_id":"call_1","output":[{"type":"input_text","text":"rain"},{"type":"input_image","image_url":"data:image/png;base64,`+png+`"}]}`),
			history(user+`,`+call+`,{"type":"function_call_output","call_id":"call_1","output":[{"type":"input_text","text":"rain"}]}`)),
		pair("`agent_message`", items(user+`,{"type":"agent_message","author":"/a","recipient":"/b","content":[{"type":"input_text","text":"done"}]}`), base),
		pair("`web_search_call` and other steps of the vendor's", items(user+`,{"type":"web_search_call","id":"ws_1","status":"completed"},`+bot+`,`+user), items(user+`,`+bot+`,`+user)),
		pair("`item_reference`", items(user+`,{"type":"item_reference","id":"msg_1"}`), base),
		in("`tools`: function", base, `"tools":[`+fn+`]`),
		in("`tools`: namespace", base, `"tools":[{"type":"namespace","name":"agents","description":"For agents","tools":[`+fn+`]}]`),
		in("`tools`: custom", base, `"tools":[{"type":"custom","name":"patch","description":"Edits"}]`),
		pair("`tools`: custom with a grammar", add(base, `"tools":[{"type":"custom","name":"patch","format":{"type":"grammar","syntax":"regex","definition":"a+"}}]`), add(base, `"tools":[{"type":"custom","name":"patch"}]`)),
		in("`tools`: `tool_search` of the client", base, `"tools":[{"type":"tool_search","execution":"client","parameters":`+obj+`}]`),
		in("`tools`: `web_search`, alone", base, `"tools":[{"type":"web_search"}]`),
		pair("`tools`: `web_search` beside a function", add(base, `"tools":[`+fn+`,{"type":"web_search"}]`), add(base, `"tools":[`+fn+`]`)),
		in("`tools`: another hosted tool, alone", base, `"tools":[{"type":"code_interpreter","container":{"type":"auto"}}]`),
		pair("`tools`: another hosted tool beside a function", add(base, `"tools":[`+fn+`,{"type":"code_interpreter","container":{"type":"auto"}}]`), add(base, `"tools":[`+fn+`]`)),
		in("`tool_choice`: `none`", tools, `"tool_choice":"none"`),
		in("`tool_choice`: `required`", tools, `"tool_choice":"required"`),
		in("`tool_choice`: one", tools, `"tool_choice":{"type":"function","name":"clock"}`),
		in("`tool_choice`: `allowed_tools`", tools, `"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"clock"}]}`),
		in("`parallel_tool_calls`: false", tools, `"parallel_tool_calls":false`),
		in("`text.format`: `json_schema`", base, `"text":{"format":{"type":"json_schema","name":"place","strict":true,"schema":`+obj+`}}`),
		pair("`text.format`: `json_object`", add(items(`{"role":"user","content":"In JSON"}`), `"text":{"format":{"type":"json_object"}}`), items(`{"role":"user","content":"In JSON"}`)),
		in("`text.verbosity`", base, `"text":{"verbosity":"low"}`),
		in("`reasoning.effort`", base, `"reasoning":{"effort":"low"}`),
		in("`max_output_tokens`", base, `"max_output_tokens":99`),
		in("`temperature`", base, `"temperature":0.5`),
		in("`top_p`", base, `"top_p":0.5`),
		in("`top_logprobs`", base, `"include":["message.output_text.logprobs"],"top_logprobs":2`),
		in("`max_tool_calls`", base, `"max_tool_calls":3`),
		in("`truncation`: `auto`", base, `"truncation":"auto"`),
		in("`previous_response_id`", base, `"previous_response_id":"resp_1"`),
		in("`conversation`", base, `"conversation":"conv_1"`),
		in("`background`", base, `"background":true`),
		in("`prompt`", base, `"prompt":{"id":"pmpt_1"}`),
		in("`store`", base, `"store":true`),
		in("`user`, `safety_identifier`", base, `"user":"u1"`),
		in("`metadata`", base, `"metadata":{"team":"a"}`),
		in("`service_tier`", base, `"service_tier":"flex"`),
		in("`prompt_cache_key`", base, `"prompt_cache_key":"k"`),
	}
}

func anthropicFields() []field {
	msgs := func(list string) string { return `{"model":"m","max_tokens":9000,"messages":[` + list + `]}` }
	const user, bot = `{"role":"user","content":"Hello"}`, `{"role":"assistant","content":"Yes"}`
	base := msgs(user)
	part := func(name, part string) field {
		const text = `{"type":"text","text":"Look"}`
		return pair(name, msgs(`{"role":"user","content":[`+text+`,`+part+`]}`), msgs(`{"role":"user","content":[`+text+`]}`))
	}
	const fn = `{"name":"weather","description":"The weather","input_schema":` + obj + `}`
	const fn2 = `{"name":"clock","input_schema":{"type":"object","properties":{}}}`
	tools := add(base, `"tools":[`+fn+`,`+fn2+`]`)
	history := func(list string) string { return add(msgs(list), `"tools":[`+fn+`]`) }
	const call = `{"role":"assistant","content":[{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Oslo"}}]}`
	result := func(more string) string {
		return history(user + `,` + call + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1"` + more + `}]}`)
	}
	return []field{
		in("`system`", base, `"system":"Be brief"`),
		pair("`messages`: `system` later on", msgs(user+`,`+bot+`,`+user+`,{"role":"system","content":"Be brief"}`), msgs(user+`,`+bot+`,`+user)),
		pair("`messages`: several turns", msgs(user+`,`+bot+`,{"role":"user","content":"And?"}`), base),
		part("`image`: base64", `{"type":"image","source":{"type":"base64","media_type":"image/png","data":"`+png+`"}}`),
		part("`image`: url", `{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}`),
		part("`image`: file", `{"type":"image","source":{"type":"file","file_id":"file_1"}}`),
		part("`document`: base64 (PDF)", `{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"`+pdf+`"}}`),
		part("`document`: text", `{"type":"document","source":{"type":"text","media_type":"text/plain","data":"facts"}}`),
		part("`document`: url", `{"type":"document","source":{"type":"url","url":"https://example.com/a.pdf"}}`),
		pair("`document`: `citations`", msgs(`{"role":"user","content":[{"type":"text","text":"Look"},{"type":"document","citations":{"enabled":true},"source":{"type":"text","media_type":"text/plain","data":"facts"}}]}`),
			msgs(`{"role":"user","content":[{"type":"text","text":"Look"},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"facts"}}]}`)),
		part("`search_result`", `{"type":"search_result","source":"https://example.com","title":"T","content":[{"type":"text","text":"facts"}]}`),
		pair("`cache_control` on a block", msgs(`{"role":"user","content":[{"type":"text","text":"Long","cache_control":{"type":"ephemeral"}}]}`), msgs(`{"role":"user","content":[{"type":"text","text":"Long"}]}`)),
		pair("`cache_control` on a tool", add(base, `"tools":[`+strings.Replace(fn, `"name"`, `"cache_control":{"type":"ephemeral","ttl":"1h"},"name"`, 1)+`]`), add(base, `"tools":[`+fn+`]`)),
		pair("`tool_use`, `tool_result`", result(`,"content":"rain"`), history(user)),
		pair("`tool_result`: `is_error`", result(`,"content":"rain","is_error":true`), result(`,"content":"rain"`)),
		pair("`tool_result` with an image", result(`,"content":[{"type":"text","text":"rain"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"`+png+`"}}]`), result(`,"content":[{"type":"text","text":"rain"}]`)),
		pair("`server_tool_use` and its result", msgs(user+`,{"role":"assistant","content":[{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}},{"type":"text","text":"Yes"}]},`+user), msgs(user+`,`+bot+`,`+user)),
		in("`tools`", base, `"tools":[`+fn+`]`),
		pair("`tools`: `strict`", add(base, `"tools":[`+strings.Replace(fn, `"name"`, `"strict":true,"name"`, 1)+`]`), add(base, `"tools":[`+fn+`]`)),
		in("`tools`: `web_search`, alone", base, `"tools":[{"type":"web_search_20250305","name":"web_search"}]`),
		pair("`tools`: `web_search` beside a function", add(base, `"tools":[`+fn+`,{"type":"web_search_20250305","name":"web_search"}]`), add(base, `"tools":[`+fn+`]`)),
		in("`tools`: another server tool, alone", base, `"tools":[{"type":"code_execution_20250825","name":"code_execution"}]`),
		pair("`tools`: another server tool beside a function", add(base, `"tools":[`+fn+`,{"type":"code_execution_20250825","name":"code_execution"}]`), add(base, `"tools":[`+fn+`]`)),
		in("`tool_choice`: `none`", tools, `"tool_choice":{"type":"none"}`),
		in("`tool_choice`: `any`", tools, `"tool_choice":{"type":"any"}`),
		in("`tool_choice`: `tool`", tools, `"tool_choice":{"type":"tool","name":"clock"}`),
		pair("`disable_parallel_tool_use`", add(tools, `"tool_choice":{"type":"auto","disable_parallel_tool_use":true}`), add(tools, `"tool_choice":{"type":"auto"}`)),
		in("`thinking`: `budget_tokens`", base, `"thinking":{"type":"enabled","budget_tokens":2048}`),
		in("`thinking`: `adaptive`", base, `"thinking":{"type":"adaptive"}`),
		in("`output_config.effort`", base, `"output_config":{"effort":"low"}`),
		in("`output_config.format`", base, `"output_config":{"format":{"type":"json_schema","schema":`+obj+`}}`),
		pair("`max_tokens`", strings.Replace(base, "9000", "99", 1), base),
		in("`temperature`", base, `"temperature":0.5`),
		in("`top_p`", base, `"top_p":0.5`),
		in("`top_k`", base, `"top_k":9`),
		in("`stop_sequences`", base, `"stop_sequences":["END"]`),
		in("`metadata.user_id`", base, `"metadata":{"user_id":"u1"}`),
		{"`service_tier`: `standard_only`", add(base, `"service_tier":"standard_only"`), base, true},
		in("`container`", base, `"container":"container_1"`),
		in("`mcp_servers`", base, `"mcp_servers":[{"type":"url","url":"https://example.com","name":"s"}]`),
		in("`context_management`", base, `"context_management":{"edits":[]}`),
		in("`inference_geo`", base, `"inference_geo":"us"`),
		in("`speed`", base, `"speed":"fast"`),
	}
}

func geminiFields() []field {
	turns := func(list string) string { return `{"contents":[` + list + `]}` }
	const user, bot = `{"role":"user","parts":[{"text":"Hello"}]}`, `{"role":"model","parts":[{"text":"Yes"}]}`
	base := turns(user)
	part := func(name, part string) field {
		const text = `{"text":"Look"}`
		return pair(name, turns(`{"role":"user","parts":[`+text+`,`+part+`]}`), turns(`{"role":"user","parts":[`+text+`]}`))
	}
	config := func(name, member string) field { return in(name, base, `"generationConfig":{`+member+`}`) }
	const fn = `{"name":"weather","description":"The weather","parametersJsonSchema":` + obj + `}`
	tools := add(base, `"tools":[{"functionDeclarations":[`+fn+`,{"name":"clock"}]}]`)
	history := func(list string) string { return add(turns(list), `"tools":[{"functionDeclarations":[`+fn+`]}]`) }
	choose := func(name, c string) field { return in(name, tools, `"toolConfig":{"functionCallingConfig":{`+c+`}}`) }
	return []field{
		in("`systemInstruction`", base, `"systemInstruction":{"parts":[{"text":"Be brief"}]}`),
		pair("`contents`: several turns", turns(user+`,`+bot+`,{"role":"user","parts":[{"text":"And?"}]}`), base),
		part("`inlineData`: image", `{"inlineData":{"mimeType":"image/png","data":"`+png+`"}}`),
		part("`inlineData`: audio", `{"inlineData":{"mimeType":"audio/wav","data":"`+wav+`"}}`),
		part("`inlineData`: PDF", `{"inlineData":{"mimeType":"application/pdf","data":"`+pdf+`"}}`),
		part("`inlineData`: video", `{"inlineData":{"mimeType":"video/mp4","data":"AAAA"}}`),
		part("`fileData`: http image", `{"fileData":{"mimeType":"image/png","fileUri":"https://example.com/a.png"}}`),
		part("`fileData`: a file of the vendor's", `{"fileData":{"mimeType":"application/pdf","fileUri":"https://generativelanguage.googleapis.com/v1beta/files/1"}}`),
		pair("`functionCall`, `functionResponse`", history(user+`,{"role":"model","parts":[{"functionCall":{"id":"1","name":"weather","args":{"city":"Oslo"}}}]},{"role":"user","parts":[{"functionResponse":{"id":"1","name":"weather","response":{"output":"rain"}}}]}`), history(user)),
		pair("`executableCode`", turns(user+`,{"role":"model","parts":[{"executableCode":{"language":"PYTHON","code":"1"}},{"text":"Yes"}]},`+user), turns(user+`,`+bot+`,`+user)),
		in("`functionDeclarations`", base, `"tools":[{"functionDeclarations":[`+fn+`]}]`),
		in("`functionDeclarations`: `parameters`", base, `"tools":[{"functionDeclarations":[{"name":"weather","parameters":{"type":"OBJECT","properties":{"city":{"type":"STRING"}}}}]}]`),
		in("`googleSearch`, alone", base, `"tools":[{"googleSearch":{}}]`),
		pair("`googleSearch` beside a function", add(base, `"tools":[{"functionDeclarations":[`+fn+`]},{"googleSearch":{}}]`), add(base, `"tools":[{"functionDeclarations":[`+fn+`]}]`)),
		in("`codeExecution`, alone", base, `"tools":[{"codeExecution":{}}]`),
		pair("`codeExecution` beside a function", add(base, `"tools":[{"functionDeclarations":[`+fn+`]},{"codeExecution":{}}]`), add(base, `"tools":[{"functionDeclarations":[`+fn+`]}]`)),
		choose("`mode`: `NONE`", `"mode":"NONE"`),
		choose("`mode`: `ANY`", `"mode":"ANY"`),
		choose("`allowedFunctionNames`", `"mode":"ANY","allowedFunctionNames":["clock"]`),
		config("`responseJsonSchema`", `"responseMimeType":"application/json","responseJsonSchema":`+obj),
		pair("`responseMimeType`: JSON", add(turns(`{"role":"user","parts":[{"text":"In JSON"}]}`), `"generationConfig":{"responseMimeType":"application/json"}`), turns(`{"role":"user","parts":[{"text":"In JSON"}]}`)),
		config("`thinkingBudget`", `"thinkingConfig":{"thinkingBudget":2048}`),
		config("`thinkingLevel`", `"thinkingConfig":{"thinkingLevel":"LOW"}`),
		config("`maxOutputTokens`", `"maxOutputTokens":99`),
		config("`temperature`", `"temperature":0.5`),
		config("`topP`", `"topP":0.5`),
		config("`topK`", `"topK":9`),
		config("`stopSequences`", `"stopSequences":["END"]`),
		config("`candidateCount`", `"candidateCount":2`),
		config("`seed`", `"seed":7`),
		config("`frequencyPenalty`", `"frequencyPenalty":0.5`),
		config("`presencePenalty`", `"presencePenalty":0.5`),
		config("`responseLogprobs`", `"responseLogprobs":true,"logprobs":2`),
		config("`responseModalities`: image", `"responseModalities":["TEXT","IMAGE"]`),
		config("`mediaResolution`", `"mediaResolution":"MEDIA_RESOLUTION_LOW"`),
		in("`safetySettings`", base, `"safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]`),
		in("`cachedContent`", base, `"cachedContent":"cachedContents/1"`),
		in("`labels`", base, `"labels":{"team":"a"}`),
		in("`serviceTier`", base, `"serviceTier":"flex"`),
		in("`store`", base, `"store":true`),
	}
}
