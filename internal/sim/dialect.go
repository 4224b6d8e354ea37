package sim

import (
	"net/http"
	"strings"
)

// dialect is how a vendor says what is no answer.
type dialect struct {
	credential func(r *http.Request) string           // "": none
	says       func(status int, model string) problem // the vendor's words for a status
	denied     func(credential string) problem        // a credential that is not accepted; nil: says 401
	body       func(p *problem, id string) []byte     // id is that of the request
	limits     func(a ration, h http.Header)          // what a limited account is told
	id         string                                 // header with the request's id; "": none
	timing     string                                 // header with the milliseconds; "": none
	noModel    string                                 // message where no model is named
	notJSON    string                                 // message where the body is no JSON
	garbage    string                                 // what malformed_sse puts into a stream
}

var openAI = dialect{
	credential: func(r *http.Request) string {
		if key := bearer(r); key != "" {
			return key
		}
		return r.Header.Get("Api-Key") // as Azure has it
	},
	says:    vendorProblem,
	body:    func(p *problem, _ string) []byte { return p.body() },
	limits:  ration.headers,
	id:      "X-Request-Id",
	timing:  "Openai-Processing-Ms",
	noModel: "you must provide a model parameter",
	notJSON: "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)",
	garbage: "data: {\"id\": this is no JSON\n",
}

// refuses is what a caller hears whose credential is not accepted.
func (d *dialect) refuses(credential string) problem {
	if d.denied != nil {
		return d.denied(credential)
	}
	return d.says(http.StatusUnauthorized, "")
}

// bearer returns the token of the Authorization header, "" if there is none.
func bearer(r *http.Request) string {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
