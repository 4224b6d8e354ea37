package sim

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// problem is an error answer in OpenAI's shape.
type problem struct {
	status  int
	message string
	kind    string
	param   string        // "": null
	code    string        // "": null
	reason  string        // Gemini's ErrorInfo; "": none
	field   string        // Gemini's field violation; "": none
	retry   time.Duration // until it is worth to try again; 0: unknown
}

type problemBody struct {
	Error struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	} `json:"error"`
}

func (p problem) body() []byte {
	var b problemBody
	b.Error.Message, b.Error.Type = p.message, p.kind
	if p.param != "" {
		b.Error.Param = &p.param
	}
	if p.code != "" {
		b.Error.Code = &p.code
	}
	return encode(b)
}

func (p problem) write(w http.ResponseWriter) { writeJSON(w, p.status, p.body()) }

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // the client may have left; nobody is owed more
}

// encode is for our own types, which have a JSON form.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("sim: encode: " + err.Error())
	}
	return b
}

func badRequest(param, message string) *problem {
	return &problem{status: http.StatusBadRequest, kind: "invalid_request_error", param: param, message: message}
}

// vendorProblem is the error that OpenAI sends with a status.
func vendorProblem(status int, model string) problem {
	p := problem{status: status, kind: "server_error"}
	switch {
	case status == http.StatusUnauthorized:
		p.kind, p.code, p.message = "invalid_request_error", "invalid_api_key", "Incorrect API key provided."
	case status == http.StatusPaymentRequired:
		p.kind, p.code, p.message = "insufficient_quota", "insufficient_quota", "You exceeded your current quota, please check your plan and billing details."
	case status == http.StatusForbidden:
		p.kind, p.code, p.message = "invalid_request_error", "model_not_allowed", "Project does not have access to model `"+model+"`."
	case status == http.StatusNotFound:
		p.kind, p.code, p.param = "invalid_request_error", "model_not_found", "model"
		p.message = "The model `" + model + "` does not exist or you do not have access to it."
	case status == http.StatusRequestEntityTooLarge:
		p.kind, p.message = "invalid_request_error", "The request is too large."
	case status == http.StatusTooManyRequests:
		p.kind, p.code, p.message = "requests", "rate_limit_exceeded", "Rate limit reached for "+model+" on requests per min (RPM). Please try again later."
	case status == http.StatusServiceUnavailable, status == 529:
		p.message = "The engine is currently overloaded, please try again later."
	case status >= 500:
		p.message = "The server had an error while processing your request. Sorry about that!"
	default:
		p.kind, p.message = "invalid_request_error", "The request was refused (simulated)."
	}
	return p
}
