package provider

import (
	"net/url"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire/protocol"
)

// bedrockPlace is Bedrock's endpoint in a region (AWS General Reference).
func bedrockPlace(region, _ string) string {
	domain := ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		domain = ".amazonaws.com.cn"
	}
	if region == "" {
		return ""
	}
	return "https://bedrock-runtime." + url.PathEscape(region) + domain
}

func bedrockHost(region string, _ func(string) string) string { return bedrockPlace(region, "") }

// mantlePlace is Bedrock's API in OpenAI's words in a region.
func mantlePlace(region, _ string) string {
	if region == "" {
		return ""
	}
	return "https://bedrock-mantle." + url.PathEscape(region) + ".api.aws/v1"
}

func mantleHost(region string, _ func(string) string) string { return mantlePlace(region, "") }

// vertexPlace is a project's place at Vertex AI, in a region or "global".
func vertexPlace(region, project string) string {
	if region == "" || project == "" {
		return ""
	}
	host := region + "-aiplatform.googleapis.com"
	if region == "global" {
		host = "aiplatform.googleapis.com"
	}
	return "https://" + host + "/v1/projects/" + url.PathEscape(project) + "/locations/" + url.PathEscape(region)
}

func vertexHost(region string, getenv func(string) string) string {
	return vertexPlace(region, strings.TrimSpace(getenv("GOOGLE_CLOUD_PROJECT")))
}

// vertexProtos: Claude speaks Anthropic's protocol, models of other
// publishers, whose names have a slash, OpenAI's, Google's own Gemini's.
func vertexProtos(model string) []llm.Proto {
	switch {
	case strings.HasPrefix(model, "claude"):
		return []llm.Proto{llm.ProtoAnthropic}
	case strings.Contains(model, "/"):
		return []llm.Proto{llm.ProtoOpenAI}
	}
	return []llm.Proto{llm.ProtoGemini}
}

// vertexDiffers: of vectors, Vertex AI has embedContent for some models only,
// and no batches.
func vertexDiffers(op llm.Op, model string) bool {
	return op == llm.OpEmbeddingBatch || op == llm.OpEmbedding && protocol.Predicts(model)
}

func vertexPath(base string, r route, model string) string {
	switch {
	case r.proto == llm.ProtoOpenAI:
		return base + "/endpoints/openapi" + r.path(model)
	case r.proto == llm.ProtoAnthropic && r.op == llm.OpCount: // the body names the model
		return base + "/publishers/anthropic/models/count-tokens:rawPredict"
	case r.proto == llm.ProtoAnthropic:
		verb := ":rawPredict"
		if r.stream {
			verb = ":streamRawPredict"
		}
		return base + "/publishers/anthropic/models/" + url.PathEscape(model) + verb
	}
	if r.op == llm.OpEmbedding && protocol.Predicts(model) {
		return base + "/publishers/google/models/" + url.PathEscape(model) + ":predict"
	}
	return base + "/publishers/google" + r.path(model)
}
