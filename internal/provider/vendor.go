package provider

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sluicegate/sluice/internal/llm"
	"github.com/sluicegate/sluice/internal/wire"
)

// Auth is how a vendor takes its key.
type Auth uint8

// The ways.
const (
	AuthBearer    Auth = iota // Authorization: Bearer
	AuthHeader                // api-key
	AuthOptional              // Authorization: Bearer, where there is a key at all
	AuthAnthropic             // x-api-key
	AuthGemini                // x-goog-api-key
	AuthAWS                   // AWS's signature; a key is one of Bedrock's: Authorization: Bearer
	AuthGoogle                // a token of Google Cloud's
)

// StreamUsage is how the token counts of a stream are obtained.
type StreamUsage uint8

// The ways.
const (
	UsageAsked  StreamUsage = iota // stream_options.include_usage must be true
	UsageAlways                    // sent unasked; stream_options must not be sent: Mistral answers 422
)

// Vendor is a row of the table. Rows are never changed.
type Vendor struct {
	Name  string // `kind` in the configuration
	Title string // as its owner writes it
	// BaseURL is used where the configuration gives none. "": it must.
	BaseURL string
	// Version is the end of the base URL that may be left out, "" if none.
	Version string
	// KeyEnv are the environment variables that hold a key; the first that is
	// set wins.
	KeyEnv []string
	// HostEnv is the environment variable that says where the vendor is, ""
	// for vendors that are at one place.
	HostEnv string
	// Host makes a base URL of HostEnv's value. nil: it is one.
	Host func(value string, getenv func(string) string) string
	// Place makes a base URL of a cloud's region and project; nil: the vendor
	// is in no cloud.
	Place func(region, project string) string
	Auth  Auth
	// Protos are the protocols that the vendor speaks, first the one for
	// clients of others; nil: OpenAI's.
	Protos []llm.Proto
	// ByModel says it where it depends on the model. nil: Protos.
	ByModel func(model string) []llm.Proto
	// Path makes the whole URL from a base without query and trailing slash.
	// nil: base, Version and the route's usual path.
	Path  func(base string, r route, model string) string
	Usage StreamUsage
	// Only are the operations that the vendor has; nil: its protocols' all.
	Only []llm.Op
	// Floats: embeddings come as numbers whatever is asked, and
	// encoding_format must not be sent.
	Floats bool
	// Files: the vendor keeps files and batches, in its protocol's form.
	Files bool
	// Single: it gives one answer to a request, whatever n says.
	Single bool
	// Lists: it tells by itself which models it serves, so that they need not
	// be written down.
	Lists bool
	// Engine: it runs on the operator's machines, keeps the prefixes of prompts
	// in its memory, and may tell how busy it is at /metrics.
	Engine bool
	// Vectors is how embeddings come in base64; where that is not of float32,
	// "float" and "base64" must not be asked for.
	Vectors wire.VectorForm
	// Differs reports whether a model is asked for an operation in other words
	// than its protocol's, so that even that protocol's clients are translated;
	// nil: none is.
	Differs func(op llm.Op, model string) bool
	// Untested: no recorded exchange shows that the row is right.
	Untested bool
	// Docs is where the vendor documents its API.
	Docs string
}

// path is where the protocol has the operation, after the version.
func (r route) path(model string) string {
	switch r.op {
	case llm.OpFile:
		return "/files"
	case llm.OpBatch:
		if r.proto == llm.ProtoAnthropic {
			return "/messages/batches"
		}
		return "/batches"
	}
	switch r.proto {
	case llm.ProtoResponses:
		switch r.op {
		case llm.OpCount:
			return "/responses/input_tokens"
		case llm.OpCompact:
			return "/responses/compact"
		}
		return "/responses"
	case llm.ProtoAnthropic:
		if r.op == llm.OpCount {
			return "/messages/count_tokens"
		}
		return "/messages"
	case llm.ProtoGemini:
		return "/models/" + strings.ReplaceAll(url.PathEscape(model), "%2F", "/") + r.verb()
	case llm.ProtoBedrock:
		if r.op != llm.OpChat {
			return "/model/" + url.PathEscape(model) + "/invoke"
		}
		if r.stream {
			return "/model/" + url.PathEscape(model) + "/converse-stream"
		}
		return "/model/" + url.PathEscape(model) + "/converse"
	case llm.ProtoCohere:
		return coherePaths[r.op]
	case llm.ProtoOllama:
		if r.op == llm.OpEmbedding {
			return "/api/embed"
		}
		return "/api/chat"
	}
	if r.op == opList {
		return "/models"
	}
	return openAIPaths[r.op]
}

// opList asks for the models that a vendor serves.
const opList llm.Op = 0

// openAIPaths is where OpenAI's API has each operation.
var openAIPaths = map[llm.Op]string{
	llm.OpChat: "/chat/completions", llm.OpCompletion: "/completions", llm.OpEmbedding: "/embeddings", llm.OpModeration: "/moderations",
	llm.OpRerank: "/rerank", llm.OpImage: "/images/generations", llm.OpImageEdit: "/images/edits", llm.OpImageVariation: "/images/variations",
	llm.OpSpeech: "/audio/speech", llm.OpTranscription: "/audio/transcriptions", llm.OpTranslation: "/audio/translations", llm.OpRealtime: "/realtime",
}

// coherePaths is where Cohere's API has each operation.
var coherePaths = map[llm.Op]string{llm.OpChat: "/chat", llm.OpEmbedding: "/embed", llm.OpRerank: "/rerank"}

// verb is how Gemini's API calls the operation.
func (r route) verb() string {
	switch {
	case r.op == llm.OpCount:
		return ":countTokens"
	case r.op == llm.OpEmbedding:
		return ":embedContent"
	case r.op == llm.OpEmbeddingBatch:
		return ":batchEmbedContents"
	case r.stream:
		return ":streamGenerateContent?alt=sse"
	}
	return ":generateContent"
}

// azureVersion is the newest api-version of Azure OpenAI's data plane that is
// not a preview.
const azureVersion = "2024-10-21"

// Facts from the vendors' recorded answers: URLs, headers, and whether usage
// came in streams that did not ask for it. Rows that are untested are
// after the vendors' pages under Docs, by general knowledge.
var vendors = []Vendor{
	{Name: "openai", Title: "OpenAI", BaseURL: "https://api.openai.com/v1", Version: "/v1", KeyEnv: []string{"OPENAI_API_KEY"},
		Protos: []llm.Proto{llm.ProtoOpenAI, llm.ProtoResponses}, Files: true, Docs: "https://platform.openai.com/docs/api-reference"},
	{Name: "azure", Title: "Azure OpenAI", KeyEnv: []string{"AZURE_OPENAI_API_KEY"}, HostEnv: "AZURE_OPENAI_ENDPOINT", Host: azureHost,
		Auth: AuthHeader, Path: azurePath, Protos: []llm.Proto{llm.ProtoOpenAI, llm.ProtoResponses}, Files: true, Docs: "https://learn.microsoft.com/azure/ai-foundry/openai/reference"},
	{Name: "anthropic", Title: "Anthropic", BaseURL: "https://api.anthropic.com/v1", Version: "/v1", KeyEnv: []string{"ANTHROPIC_API_KEY"},
		Auth: AuthAnthropic, Protos: []llm.Proto{llm.ProtoAnthropic}, Files: true, Docs: "https://docs.anthropic.com/en/api"},
	{Name: "gemini", Title: "Google Gemini", BaseURL: "https://generativelanguage.googleapis.com/v1beta", Version: "/v1beta",
		KeyEnv: []string{"GEMINI_API_KEY", "GOOGLE_API_KEY"}, Auth: AuthGemini, Protos: []llm.Proto{llm.ProtoGemini}, Docs: "https://ai.google.dev/api"},
	{Name: "vertex", Title: "Google Vertex AI", HostEnv: "GOOGLE_CLOUD_LOCATION", Host: vertexHost, Place: vertexPlace, Auth: AuthGoogle,
		Protos: []llm.Proto{llm.ProtoGemini}, ByModel: vertexProtos, Path: vertexPath, Differs: vertexDiffers, Docs: "https://cloud.google.com/vertex-ai/generative-ai/docs"},
	{Name: "bedrock", Title: "Amazon Bedrock", KeyEnv: []string{"AWS_BEARER_TOKEN_BEDROCK"}, HostEnv: "AWS_REGION", Host: bedrockHost, Place: bedrockPlace,
		Auth: AuthAWS, Protos: []llm.Proto{llm.ProtoBedrock}, Docs: "https://docs.aws.amazon.com/bedrock/latest/APIReference"},
	{Name: "cohere", Title: "Cohere", BaseURL: "https://api.cohere.com/v2", Version: "/v2", KeyEnv: []string{"COHERE_API_KEY", "CO_API_KEY"},
		Protos: []llm.Proto{llm.ProtoCohere}, Docs: "https://docs.cohere.com/reference"},
	{Name: "voyage", Title: "Voyage AI", BaseURL: "https://api.voyageai.com/v1", Version: "/v1", KeyEnv: []string{"VOYAGE_API_KEY"},
		Only: []llm.Op{llm.OpEmbedding, llm.OpRerank}, Docs: "https://docs.voyageai.com"},
	{Name: "jina", Title: "Jina AI", BaseURL: "https://api.jina.ai/v1", Version: "/v1", KeyEnv: []string{"JINA_API_KEY"},
		Only: []llm.Op{llm.OpEmbedding, llm.OpRerank}, Floats: true, Untested: true, Docs: "https://jina.ai/embeddings"},
	{Name: "groq", Title: "Groq", BaseURL: "https://api.groq.com/openai/v1", Version: "/openai/v1", KeyEnv: []string{"GROQ_API_KEY"},
		Single: true, Files: true, Docs: "https://console.groq.com/docs/api-reference"},
	{Name: "deepseek", Title: "DeepSeek", BaseURL: "https://api.deepseek.com", KeyEnv: []string{"DEEPSEEK_API_KEY"}, Path: deepseekPath,
		Protos: []llm.Proto{llm.ProtoOpenAI, llm.ProtoResponses}, Single: true, Docs: "https://api-docs.deepseek.com"},
	{Name: "mistral", Title: "Mistral AI", BaseURL: "https://api.mistral.ai/v1", Version: "/v1", KeyEnv: []string{"MISTRAL_API_KEY"},
		Usage: UsageAlways, Floats: true, Files: true, Docs: "https://docs.mistral.ai/api"},
	{Name: "xai", Title: "xAI", BaseURL: "https://api.x.ai/v1", Version: "/v1", KeyEnv: []string{"XAI_API_KEY"},
		Protos: []llm.Proto{llm.ProtoOpenAI, llm.ProtoResponses}, Files: true, Docs: "https://docs.x.ai/docs/api-reference"},
	{Name: "openrouter", Title: "OpenRouter", BaseURL: "https://openrouter.ai/api/v1", Version: "/api/v1", KeyEnv: []string{"OPENROUTER_API_KEY"},
		Usage: UsageAlways, Protos: []llm.Proto{llm.ProtoOpenAI, llm.ProtoResponses}, Docs: "https://openrouter.ai/docs/api-reference/overview"},
	{Name: "perplexity", Title: "Perplexity", BaseURL: "https://api.perplexity.ai", KeyEnv: []string{"PERPLEXITY_API_KEY", "PPLX_API_KEY"},
		Path: perplexityPath, Usage: UsageAlways, Vectors: wire.VectorInt8, Single: true, Docs: "https://docs.perplexity.ai/api-reference"},
	{Name: "ollama", Title: "Ollama", BaseURL: "http://127.0.0.1:11434/v1", Version: "/v1", KeyEnv: []string{"OLLAMA_API_KEY"},
		HostEnv: "OLLAMA_HOST", Host: ollamaHost, Auth: AuthOptional, Protos: []llm.Proto{llm.ProtoOllama, llm.ProtoOpenAI}, Lists: true, Engine: true, Single: true, Docs: "https://docs.ollama.com/openai"},
	{Name: "llamacpp", Title: "llama.cpp", BaseURL: "http://127.0.0.1:8080/v1", Version: "/v1", Auth: AuthOptional,
		Protos: []llm.Proto{llm.ProtoOpenAI, llm.ProtoResponses}, Lists: true, Engine: true, Single: true, Docs: "https://github.com/ggml-org/llama.cpp/tree/master/tools/server"},
	{Name: "lmstudio", Title: "LM Studio", BaseURL: "http://127.0.0.1:1234/v1", Version: "/v1", KeyEnv: []string{"LMSTUDIO_API_KEY"}, HostEnv: "LMSTUDIO_HOST",
		Auth: AuthOptional, Protos: []llm.Proto{llm.ProtoOpenAI, llm.ProtoResponses}, Lists: true, Engine: true, Docs: "https://lmstudio.ai/docs/developer/openai-compat"},
	{Name: "vllm", Title: "vLLM", BaseURL: "http://127.0.0.1:8000/v1", Version: "/v1", KeyEnv: []string{"VLLM_API_KEY"}, HostEnv: "VLLM_HOST",
		Auth: AuthOptional, Untested: true, Protos: []llm.Proto{llm.ProtoOpenAI, llm.ProtoResponses}, Lists: true, Engine: true, Docs: "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"},
	{Name: "sglang", Title: "SGLang", BaseURL: "http://127.0.0.1:30000/v1", Version: "/v1", KeyEnv: []string{"SGLANG_API_KEY"}, HostEnv: "SGLANG_HOST",
		Auth: AuthOptional, Untested: true, Lists: true, Engine: true, Docs: "https://docs.sglang.ai/basic_usage/openai_api.html"},
	{Name: "together", Title: "Together AI", BaseURL: "https://api.together.xyz/v1", Version: "/v1", KeyEnv: []string{"TOGETHER_API_KEY"},
		Files: true, Docs: "https://docs.together.ai/docs/openai-api-compatibility"},
	{Name: "fireworks", Title: "Fireworks AI", BaseURL: "https://api.fireworks.ai/inference/v1", Version: "/inference/v1", KeyEnv: []string{"FIREWORKS_API_KEY"},
		Untested: true, Docs: "https://docs.fireworks.ai/tools-sdks/openai-compatibility"},
	{Name: "cerebras", Title: "Cerebras", BaseURL: "https://api.cerebras.ai/v1", Version: "/v1", KeyEnv: []string{"CEREBRAS_API_KEY"},
		Docs: "https://inference-docs.cerebras.ai/resources/openai"},
	{Name: "sambanova", Title: "SambaNova", BaseURL: "https://api.sambanova.ai/v1", Version: "/v1", KeyEnv: []string{"SAMBANOVA_API_KEY"},
		Untested: true, Docs: "https://docs.sambanova.ai/docs/en/features/openai-compatibility"},
	{Name: "nvidia", Title: "NVIDIA NIM", BaseURL: "https://integrate.api.nvidia.com/v1", Version: "/v1", KeyEnv: []string{"NVIDIA_API_KEY"},
		Untested: true, Docs: "https://docs.api.nvidia.com/nim"},
	{Name: "deepinfra", Title: "DeepInfra", BaseURL: "https://api.deepinfra.com/v1/openai", Version: "/v1/openai", KeyEnv: []string{"DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN"},
		Untested: true, Docs: "https://deepinfra.com/docs/openai_api"},
	{Name: "moonshot", Title: "Moonshot AI", BaseURL: "https://api.moonshot.ai/v1", Version: "/v1", KeyEnv: []string{"MOONSHOT_API_KEY"},
		Files: true, Docs: "https://platform.moonshot.ai/docs/api/chat"},
	{Name: "zai", Title: "Z.AI", BaseURL: "https://api.z.ai/api/paas/v4", Version: "/api/paas/v4", KeyEnv: []string{"ZAI_API_KEY", "ZHIPU_API_KEY"},
		Single: true, Docs: "https://docs.z.ai/api-reference/llm/chat-completion"},
	{Name: "alibaba", Title: "Alibaba Cloud Model Studio", BaseURL: "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", Version: "/compatible-mode/v1",
		KeyEnv: []string{"DASHSCOPE_API_KEY"}, Files: true, Docs: "https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope"},
	{Name: "huggingface", Title: "Hugging Face", BaseURL: "https://router.huggingface.co/v1", Version: "/v1", KeyEnv: []string{"HF_TOKEN"},
		Docs: "https://huggingface.co/docs/inference-providers"},
	{Name: "github", Title: "GitHub Models", BaseURL: "https://models.github.ai/inference", Version: "/inference", KeyEnv: []string{"GITHUB_MODELS_TOKEN"},
		Untested: true, Docs: "https://docs.github.com/en/github-models"},
	{Name: "vercel", Title: "Vercel AI Gateway", BaseURL: "https://ai-gateway.vercel.sh/v1", Version: "/v1", KeyEnv: []string{"AI_GATEWAY_API_KEY"},
		Docs: "https://vercel.com/docs/ai-gateway/openai-compat"},
	{Name: "cloudflare", Title: "Cloudflare Workers AI", KeyEnv: []string{"CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_KEY"}, HostEnv: "CLOUDFLARE_ACCOUNT_ID", Host: cloudflareHost,
		Version: "/ai/v1", Untested: true, Docs: "https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility"},
	{Name: "databricks", Title: "Databricks", KeyEnv: []string{"DATABRICKS_TOKEN"}, HostEnv: "DATABRICKS_HOST", Host: databricksHost, Version: "/serving-endpoints",
		Untested: true, Docs: "https://docs.databricks.com/aws/en/machine-learning/model-serving/score-foundation-models"},
	{Name: "venice", Title: "Venice", BaseURL: "https://api.venice.ai/api/v1", Version: "/api/v1", KeyEnv: []string{"VENICE_API_KEY"},
		Docs: "https://docs.venice.ai"},
	{Name: "avian", Title: "Avian", BaseURL: "https://api.avian.io/v1", Version: "/v1", KeyEnv: []string{"AVIAN_API_KEY"}, Docs: "https://avian.io/docs"},
	{Name: "crusoe", Title: "Crusoe", BaseURL: "https://api.inference.crusoecloud.com/v1", Version: "/v1", KeyEnv: []string{"CRUSOE_API_KEY"},
		Docs: "https://docs.crusoecloud.com"},
	{Name: "doubleword", Title: "Doubleword", BaseURL: "https://api.doubleword.ai/v1", Version: "/v1", KeyEnv: []string{"DOUBLEWORD_API_KEY"},
		Files: true, Docs: "https://docs.doubleword.ai"},
	{Name: "writer", Title: "Writer", BaseURL: "https://api.writer.com/v1", Version: "/v1", KeyEnv: []string{"WRITER_API_KEY"},
		Path: writerPath, Docs: "https://dev.writer.com/api-reference"},
	{Name: "snowflake", Title: "Snowflake Cortex", KeyEnv: []string{"SNOWFLAKE_PAT", "SNOWFLAKE_TOKEN"}, HostEnv: "SNOWFLAKE_ACCOUNT", Host: snowflakeHost,
		Version: "/api/v2/cortex/v1", Docs: "https://docs.snowflake.com/en/user-guide/snowflake-cortex/open_ai_sdk"},
	{Name: "copilot", Title: "GitHub Copilot", BaseURL: "https://api.githubcopilot.com", KeyEnv: []string{"GITHUB_COPILOT_TOKEN"},
		Protos: []llm.Proto{llm.ProtoOpenAI, llm.ProtoResponses}, Docs: "https://docs.github.com/en/copilot"},
	{Name: "bedrock-mantle", Title: "Amazon Bedrock, OpenAI's API", KeyEnv: []string{"BEDROCK_MANTLE_API_KEY"}, HostEnv: "BEDROCK_MANTLE_REGION", Host: mantleHost,
		Place: mantlePlace, Version: "/v1", Protos: []llm.Proto{llm.ProtoOpenAI, llm.ProtoResponses}, Docs: "https://docs.aws.amazon.com/bedrock/latest/userguide"},
	{Name: "gpustack", Title: "GPUStack", KeyEnv: []string{"GPUSTACK_API_KEY"}, HostEnv: "GPUSTACK_API_BASE", Version: "/v1", Auth: AuthOptional,
		Lists: true, Engine: true, Docs: "https://docs.gpustack.ai"},
	{Name: "mistralrs", Title: "mistral.rs", KeyEnv: []string{"MISTRALRS_API_KEY"}, HostEnv: "MISTRALRS_HOST", Version: "/v1", Auth: AuthOptional,
		Protos: []llm.Proto{llm.ProtoOpenAI, llm.ProtoResponses}, Lists: true, Engine: true, Docs: "https://ericlbuehler.github.io/mistral.rs"},
	{Name: "openai-compatible", Title: "OpenAI-compatible", Auth: AuthOptional, Path: compatiblePath,
		Docs: "https://platform.openai.com/docs/api-reference"},
}

// Vendors returns the rows in the table's order; the caller must not change
// them.
func Vendors() []Vendor { return slices.Clip(vendors) }

// VendorByName returns a row by its name.
func VendorByName(name string) (*Vendor, bool) {
	for i := range vendors {
		if vendors[i].Name == name {
			return &vendors[i], true
		}
	}
	return nil, false
}

// FromEnv tells what the environment says of the vendor. ok: it says enough
// to use it. base is "" for the row's own, key is "" for none.
func (v *Vendor) FromEnv(getenv func(string) string) (base, key string, ok bool) {
	for _, name := range v.KeyEnv {
		if key = strings.TrimSpace(getenv(name)); key != "" {
			break
		}
	}
	if v.HostEnv == "" {
		return "", key, key != ""
	}
	host := strings.TrimSpace(getenv(v.HostEnv))
	if host == "" || key == "" && len(v.KeyEnv) > 0 && v.Auth != AuthOptional {
		return "", "", false
	}
	if v.Host != nil {
		host = v.Host(host, getenv)
	}
	return host, key, host != ""
}

// NeedsKey reports whether the vendor cannot be used without a key.
func (v *Vendor) NeedsKey() bool {
	return v.Auth != AuthOptional && v.Auth != AuthAWS && v.Auth != AuthGoogle
}

// Authorize sets the header that carries key. An empty key sets none.
func (v *Vendor) Authorize(h http.Header, key string) {
	switch {
	case key == "":
	case v.Auth == AuthHeader:
		h.Set("Api-Key", key)
	case v.Auth == AuthAnthropic:
		h.Set("X-Api-Key", key)
	case v.Auth == AuthGemini, v.Auth == AuthGoogle:
		h.Set("X-Goog-Api-Key", key)
	default:
		h.Set("Authorization", "Bearer "+key)
	}
}

// Speaks returns the protocols to ask for model in, first the one for clients
// of others.
func (v *Vendor) Speaks(model string) []llm.Proto {
	switch {
	case v.ByModel != nil:
		return v.ByModel(model)
	case v.Protos != nil:
		return v.Protos
	}
	return []llm.Proto{llm.ProtoOpenAI}
}

// URL returns where to send what r says for model. base is the configured base
// URL, with or without the version path and slashes at its end; "" is the
// row's own. Its query is kept.
func (v *Vendor) URL(base string, r route, model string) string {
	if base == "" {
		base = v.BaseURL
	}
	base, query, _ := strings.Cut(base, "?")
	base = strings.TrimRight(base, "/")
	var full string
	switch {
	case v.Path != nil:
		full = v.Path(base, r, model)
	case r.proto == llm.ProtoOllama:
		full = strings.TrimSuffix(base, "/v1") + r.path(model)
	default:
		full = complete(base, v.version(r.proto)) + r.path(model)
	}
	full, more, _ := strings.Cut(full, "?")
	if query != "" && more != "" && !(strings.HasPrefix(query, "api-version=") || strings.Contains(query, "&api-version=")) {
		query += "&" + more
	} else if query == "" {
		query = more
	}
	return join(full, query)
}

// version is the end of a base URL that may be left out.
func (v *Vendor) version(p llm.Proto) string {
	switch {
	case slices.Contains(v.Speaks(""), p):
		return v.Version
	case p == llm.ProtoAnthropic:
		return "/v1"
	case p == llm.ProtoGemini:
		return "/v1beta"
	case p == llm.ProtoCohere:
		return "/v2"
	}
	return v.Version
}

func join(u, query string) string {
	if query == "" {
		return u
	}
	return u + "?" + query
}

// complete adds what base lacks of version: all of "/openai/v1" to a host,
// "/v1" to one that ends in "/openai", nothing where a version is in the path.
func complete(base, version string) string {
	path := pathOf(base)
	for seg := range strings.SplitSeq(path, "/") {
		if isVersion(seg) {
			return base
		}
	}
	for n := len(version); n > 0; n = strings.LastIndexByte(version[:n], '/') {
		if strings.HasSuffix(path, version[:n]) {
			return base + version[n:]
		}
	}
	return base + version
}

// pathOf returns a URL's path, "" or with a slash before it.
func pathOf(base string) string {
	_, rest, ok := strings.Cut(base, "://")
	if !ok {
		rest = base
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return ""
}

// hostOf returns a URL's host without its port, in lower case.
func hostOf(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// isVersion reports whether a path segment is one such as v1, v4 or v1beta.
func isVersion(seg string) bool {
	return len(seg) >= 2 && seg[0] == 'v' && seg[1] >= '0' && seg[1] <= '9'
}

// compatiblePath adds /v1 to a bare host only: a base with a path is what
// OpenAI's SDKs would be given, and is taken as it is.
func compatiblePath(base string, r route, model string) string {
	switch r.proto {
	case llm.ProtoOpenAI, llm.ProtoResponses:
		if pathOf(base) == "" {
			base += "/v1"
		}
	case llm.ProtoAnthropic:
		base = complete(base, "/v1")
	case llm.ProtoGemini:
		base = complete(base, "/v1beta")
	case llm.ProtoCohere:
		base = complete(base, "/v2")
	}
	return base + r.path(model)
}

// deepseekPath: with and without /v1 are the same; plain completions, and
// answers that have begun, are at /beta only.
func deepseekPath(base string, r route, model string) string {
	if (r.op == llm.OpCompletion || r.begun) && hostOf(base) == "api.deepseek.com" {
		base = base[:len(base)-len(pathOf(base))] + "/beta"
	}
	return base + r.path(model)
}

// writerPath: chat is at /chat.
func writerPath(base string, r route, model string) string {
	base = complete(base, "/v1")
	if r.proto == llm.ProtoOpenAI && r.op == llm.OpChat {
		return base + "/chat"
	}
	return base + r.path(model)
}

// perplexityPath: chat has no version path, embeddings do.
func perplexityPath(base string, r route, model string) string {
	base = strings.TrimSuffix(base, "/v1")
	if r.op == llm.OpEmbedding {
		base += "/v1"
	}
	return base + r.path(model)
}

// azurePath: the v1 API where base ends in /openai/v1, the model inference
// API where it ends in /models; else a path for each deployment, which is
// the model's name. The last two want an api-version.
func azurePath(base string, r route, model string) string {
	path := pathOf(base)
	switch {
	case strings.HasSuffix(path, "/openai/v1"):
		return base + r.path(model)
	case r.proto == llm.ProtoResponses, r.op == llm.OpFile, r.op == llm.OpBatch: // the v1 API alone has them
		base, _, _ = strings.Cut(base, "/openai")
		return base + "/openai/v1" + r.path(model)
	case strings.HasSuffix(path, "/models"):
		return base + r.path(model) + "?api-version=2024-05-01-preview"
	case strings.Contains(path, "/openai/deployments/"):
	case strings.HasSuffix(path, "/openai/deployments"):
		base += "/" + url.PathEscape(model)
	case strings.HasSuffix(path, "/openai"):
		base += "/deployments/" + url.PathEscape(model)
	default:
		base += "/openai/deployments/" + url.PathEscape(model)
	}
	return base + r.path(model) + "?api-version=" + azureVersion
}

// azureHost adds OPENAI_API_VERSION to an endpoint that has no version.
func azureHost(value string, getenv func(string) string) string {
	version := strings.TrimSpace(getenv("OPENAI_API_VERSION"))
	bare := strings.TrimRight(value, "/")
	if version == "" || strings.Contains(value, "?") || strings.HasSuffix(bare, "/openai/v1") {
		return value
	}
	return bare + "?api-version=" + url.QueryEscape(version)
}

// snowflakeHost is the API of an account.
func snowflakeHost(account string, _ func(string) string) string {
	return "https://" + url.PathEscape(account) + ".snowflakecomputing.com/api/v2/cortex/v1"
}

// cloudflareHost is the API of an account.
func cloudflareHost(account string, _ func(string) string) string {
	return "https://api.cloudflare.com/client/v4/accounts/" + url.PathEscape(account) + "/ai/v1"
}

// databricksHost reads DATABRICKS_HOST as Databricks' own tools do: a host or
// a URL of the workspace.
func databricksHost(value string, _ func(string) string) string {
	if !strings.Contains(value, "://") {
		value = "https://" + value
	}
	return strings.TrimRight(value, "/") + "/serving-endpoints"
}

// ollamaHost reads OLLAMA_HOST as Ollama's own client does: a host, a port,
// both, or a URL; addresses to listen on become those to call.
func ollamaHost(value string, _ func(string) string) string {
	value = strings.Trim(strings.TrimSpace(value), `"'`)
	scheme, rest, ok := strings.Cut(value, "://")
	port := ""
	if !ok {
		scheme, rest, port = "http", value, "11434"
	}
	hostport, path, _ := strings.Cut(rest, "/")
	host, p, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	} else if p != "" {
		port = p
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" {
		host += ":" + port
	}
	if path = strings.Trim(path, "/"); path != "" {
		host += "/" + path
	}
	return scheme + "://" + host
}
