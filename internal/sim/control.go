package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/goccy/go-yaml"
)

const maxChange = 64 << 10 // bytes of a change

// state is what GET /sim answers.
type state struct {
	Seed     uint64       `json:"seed"`
	Speed    float64      `json:"speed"`
	AnyModel bool         `json:"any_model"`
	Models   []modelState `json:"models"`
}

type modelState struct {
	Name     string          `json:"name"`
	Settings json.RawMessage `json:"settings"`
	Counters
}

// control adds the control endpoint. Changes are refused to web pages of
// other origins.
func (s *Server) control(mux *http.ServeMux) {
	guard := http.NewCrossOriginProtection()
	mux.HandleFunc("GET /sim", s.showState)
	mux.HandleFunc("GET /sim/journal", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, encode(struct {
			Calls []Call `json:"calls"`
		}{s.Journal()}))
	})
	mux.Handle("POST /sim/models/{model...}", guard.Handler(http.HandlerFunc(s.change)))
	mux.Handle("POST /sim/reset", guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Reset()
		s.showState(w, r)
	})))
}

func (s *Server) showState(w http.ResponseWriter, _ *http.Request) {
	st := state{Seed: s.conf.Seed, Speed: s.conf.Speed, AnyModel: s.conf.AnyModel, Models: []modelState{}}
	for _, name := range s.names() {
		m, err := s.modelState(name)
		if err != nil {
			problem{status: http.StatusInternalServerError, kind: "server_error", message: err.Error()}.write(w)
			return
		}
		st.Models = append(st.Models, m)
	}
	writeJSON(w, http.StatusOK, encode(st))
}

func (s *Server) modelState(name string) (modelState, error) {
	s.mu.Lock()
	m := s.models[name] // models are never taken away
	set, counters := m.set.clone(), m.counters
	s.mu.Unlock()
	settings, err := yaml.MarshalWithOptions(set, yaml.OmitZero())
	if err == nil {
		settings, err = yaml.YAMLToJSON(settings)
	}
	if err != nil {
		return modelState{}, fmt.Errorf("write settings of %q: %w", name, err)
	}
	return modelState{Name: name, Settings: bytes.TrimSpace(settings), Counters: counters}, nil
}

// change sets what the JSON object of the body names; the rest stays. A
// fault is set whole; null takes it away.
func (s *Server) change(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("model")
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxChange))
	if err == nil {
		err = s.apply(name, body)
	}
	if err != nil {
		badRequest("", err.Error()).write(w)
		return
	}
	m, err := s.modelState(name)
	if err != nil {
		problem{status: http.StatusInternalServerError, kind: "server_error", message: err.Error()}.write(w)
		return
	}
	writeJSON(w, http.StatusOK, encode(m))
}

func (s *Server) apply(name string, change []byte) error {
	var part struct{ Fault json.RawMessage }
	if err := json.Unmarshal(change, &part); err != nil {
		return fmt.Errorf("the change is no JSON object of settings: %w", err)
	}
	var bad error
	err := s.Set(name, func(m *Model) {
		next := m.clone()
		if part.Fault != nil {
			next.Fault = nil
		}
		// JSON is YAML: one reader, one set of names.
		if _, bad = decodeYAML(change, &next); bad == nil {
			*m = next
		}
	})
	return errors.Join(bad, err)
}
