package upstream

import (
	"reflect"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
)

// A variant has all that its pool has but options and gates: also what was added
// to pools since.
func TestVariant(t *testing.T) {
	p := &Pool{}
	v := reflect.ValueOf(p).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); v.Type().Field(i).IsExported() {
			fill(f)
		}
	}
	got := reflect.ValueOf(p.Variant([]Option{{ID: "other"}}, nil)).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() || f.Name == "Options" || f.Name == "Accept" {
			continue
		}
		if got.Field(i).IsZero() {
			t.Errorf("%s is lost", f.Name)
		}
	}
	if o := got.FieldByName("Options"); o.Len() != 1 || !got.FieldByName("Accept").IsNil() {
		t.Errorf("options %v, gates %v", o, got.FieldByName("Accept"))
	}
}

// fill makes a field one that is not zero.
func fill(f reflect.Value) {
	switch f.Kind() {
	case reflect.String:
		f.SetString("x")
	case reflect.Bool:
		f.SetBool(true)
	case reflect.Float64:
		f.SetFloat(1)
	case reflect.Int64:
		f.SetInt(1)
	case reflect.Slice:
		f.Set(reflect.MakeSlice(f.Type(), 1, 1))
	case reflect.Map:
		f.Set(reflect.MakeMap(f.Type()))
	case reflect.Pointer:
		f.Set(reflect.New(f.Type().Elem()))
	case reflect.Func:
		f.Set(reflect.MakeFunc(f.Type(), func([]reflect.Value) []reflect.Value { panic("not called") }))
	case reflect.Struct:
		for i := range f.NumField() {
			fill(f.Field(i))
		}
	case reflect.Int:
		f.SetInt(1)
	}
}

var _ llm.Handler = (*Pool)(nil)
