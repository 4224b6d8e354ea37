package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxNesting bounds how deep models may be targets of models.
const maxNesting = 8

// check finds what is wrong between parts that are right by themselves.
func (d *decoder) check() {
	d.checkAccess()
	if d.broken {
		return // names may be missing that the file has
	}
	names := d.modelNames()
	providers := make(map[string]bool, len(d.c.Providers))
	for i := range d.c.Providers {
		providers[d.c.Providers[i].Name] = true
	}
	r := &refs{decoder: d, names: names, providers: providers}
	for i, name := range d.c.Fallback {
		r.known(fmt.Sprintf("fallback[%d]", i), name, "")
	}
	r.defaultModel()
	r.guards()
	d.checkRegions()
	for i := range d.c.Models {
		r.model(i)
	}
	r.nesting()
}

func (d *decoder) failAt(path, format string, args ...any) {
	d.fail(d.c.Pos.Find(path), fmt.Sprintf(format, args...))
}

// checkRegions reports regions that the list of regions does not have. Where
// there is no list, a region is a name and no more.
func (d *decoder) checkRegions() {
	if len(d.c.Regions) == 0 {
		return
	}
	check := func(path, region string) {
		if region != "" && !slices.Contains(d.c.Regions, region) {
			d.failAt(path, "%s is %s, which regions does not name: add it there", path, d.show(path, region))
		}
	}
	for i := range d.c.Providers {
		check("providers."+d.c.Providers[i].Name+".region", d.c.Providers[i].Region)
	}
	for i := range d.c.Models {
		m := &d.c.Models[i]
		for j := range m.Targets {
			check(fmt.Sprintf("models.%s.targets[%d].region", m.Name, j), m.Targets[j].Region)
		}
	}
	d.autos(check)
}

// checkAccess checks keys against each other and against auth.
func (d *decoder) checkAccess() {
	c := d.c
	if c.Auth == "none" && len(c.Keys) > 0 {
		d.failAt("auth", "auth is none, but the file has keys: remove one of them")
	}
	if c.Admin.Listen != "" && c.Admin.Listen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
		d.failAt("admin.listen", "admin.listen is the address of listen: write another one, or leave it empty")
	}
	names, keys := map[string]int{}, map[Secret]int{}
	for i := range c.Keys {
		k := &c.Keys[i]
		path := fmt.Sprintf("keys[%d]", i)
		if j, ok := names[k.Name]; ok && k.Name != "" {
			d.failAt(path+".name", "%s.name is %s like keys[%d]: write another name", path, d.show(path+".name", k.Name), j)
		}
		if j, ok := keys[k.Key]; ok && k.Key != "" {
			d.failAt(path+".key", "%s.key is the same as that of keys[%d]: every key needs its own", path, j)
		}
		if k.Key != "" && k.Key == c.Admin.Key {
			d.failAt(path+".key", "%s.key is the same as admin.key: clients need a key of their own", path)
		}
		if _, ok := names[k.Name]; !ok {
			names[k.Name] = i
		}
		if _, ok := keys[k.Key]; !ok {
			keys[k.Key] = i
		}
	}
}

// modelNames returns the index of each model by its names, and reports names
// that are taken.
func (d *decoder) modelNames() map[string]int {
	names := make(map[string]int, len(d.c.Models))
	for i := range d.c.Models {
		names[d.c.Models[i].Name] = i
	}
	for i := range d.c.Models {
		m := &d.c.Models[i]
		for j, alias := range m.Aliases {
			if alias == "" {
				continue
			}
			path := fmt.Sprintf("models.%s.aliases[%d]", m.Name, j)
			if k, taken := names[alias]; taken {
				d.failAt(path, "%s is %s, which is a name of model %s already: write another one", path, d.show(path, alias), quote(d.c.Models[k].Name))
				continue
			}
			names[alias] = i
		}
	}
	return names
}

// refs checks what names what.
type refs struct {
	*decoder
	names     map[string]int
	providers map[string]bool
}

// suggest returns the end of a message about a name that is not known.
// Names that came by ${…} are not shown.
func (r *refs) suggest(s, path string, names func(func(string) bool), otherwise string) string {
	if _, ok := r.raw[path]; !ok && len(r.errs) < maxErrors {
		if near := nearest(s, names); near != "" {
			return "did you mean " + near + "?"
		}
	}
	return otherwise
}

func (r *refs) modelNamesShown(yield func(string) bool) {
	for i := range r.c.Models {
		if !yield(r.c.Models[i].Name) {
			return
		}
	}
}

// known reports a target whose provider or model does not exist. pattern is
// the name of the model that it belongs to, "" for none.
func (r *refs) known(path, target, pattern string) bool {
	if target == "" {
		return false // reported before
	}
	provider, _, slash := strings.Cut(target, "/")
	switch {
	case slash && !r.providers[provider]:
		r.failAt(path, "%s is %s, but there is no such provider: %s", path, r.show(path, target),
			r.suggest(provider, path, maps.Keys(r.providers), "add it to providers"))
		return false
	case slash && strings.Contains(target, "*") && !strings.Contains(pattern, "*"):
		r.failAt(path, "%s is %s, but only a pattern such as claude-* has targets with *: write the vendor's name for the model", path, r.show(path, target))
		return false
	case slash:
		return true
	}
	if i, ok := r.names[target]; !ok {
		r.failAt(path, "%s is %s, but there is no such model: %s", path, r.show(path, target),
			r.suggest(target, path, r.modelNamesShown, "add it to models, or write provider/vendor-model"))
		return false
	} else if strings.Contains(r.c.Models[i].Name, "*") {
		r.failAt(path, "%s is %s, another name of a pattern: name a model", path, r.show(path, target))
		return false
	}
	return true
}

func (r *refs) defaultModel() {
	name := r.c.DefaultModel
	if name == "" {
		return
	}
	if _, ok := r.names[name]; ok {
		return
	}
	for i := range r.c.Models {
		if p := r.c.Models[i].Name; strings.Contains(p, "*") {
			if _, ok := Match(p, name); ok {
				return
			}
		}
	}
	r.known("default_model", name, "")
}

// model checks the targets and the fallback of one model.
func (r *refs) model(i int) {
	m := &r.c.Models[i]
	base := "models." + m.Name
	seen := map[string]int{}
	for j, part := range r.parts(m) {
		t, path := part.name, part.path
		if !r.known(path, t, m.Name) {
			continue
		}
		id := t
		if k, ok := r.names[t]; ok && !strings.Contains(t, "/") {
			id = r.c.Models[k].Name
		}
		if first, ok := seen[id]; ok {
			if len(m.Targets) > 0 {
				r.failAt(path, "%s is %s, which is target %d of the model already: a target stands once, give it more weight instead", path, r.show(path, t), first+1)
			} else {
				r.failAt(path, "%s is %s, which stands there already: name it once", path, r.show(path, t))
			}
			continue
		}
		seen[id] = j
	}
	if m.Split != nil && m.Split.Shadow != nil {
		r.known(base+".split.shadow.model", m.Split.Shadow.Model, "")
		if judge := m.Split.Shadow.Judge; judge != "" {
			r.known(base+".split.shadow.judge", judge, "")
		}
	}
	for j := range m.Accept {
		if g := &m.Accept[j]; g.Model != "" {
			r.known(m.GatePath(j)+"."+g.Name+".model", g.Model, "")
		}
	}
	for j := range m.Degrade {
		path := fmt.Sprintf("%s.degrade[%d].model", base, j)
		name := m.Degrade[j].Model
		if name == "" || !r.known(path, name, m.Name) {
			continue
		}
		if k, ok := r.names[name]; ok && k == i && !strings.Contains(name, "/") {
			r.failAt(path, "%s is the model itself: name another one", path)
		}
	}
	r.guarded(base, m.Guard)
	r.answers(base, m.Risk, i)
	if _, own := r.c.Pos[base+".fallback"]; !own {
		m.Fallback = r.without(m.Fallback, i)
		return
	}
	for j, name := range m.Fallback {
		path := fmt.Sprintf("%s.fallback[%d]", base, j)
		if !r.known(path, name, m.Name) {
			continue
		}
		if k, ok := r.names[name]; ok && k == i && !strings.Contains(name, "/") {
			r.failAt(path, "%s is the model itself: remove it", path)
		}
	}
}

// without returns names without those of model i; nil if none are left.
func (r *refs) without(names []string, i int) []string {
	var out []string
	for _, name := range names {
		if k, ok := r.names[name]; ok && k == i && !strings.Contains(name, "/") {
			continue
		}
		out = append(out, name)
	}
	return out
}

// targetPath is where the name of a target stands.
func (r *refs) targetPath(m *Model, j int) string {
	path := m.TargetPath(j)
	if _, ok := r.c.Pos[path+".target"]; ok {
		return path + ".target"
	}
	return path
}

// nesting reports circles among targets that are models, and chains of them
// that are too long. It visits every model once.
func (r *refs) nesting() {
	const open = -1
	depth := make([]int, len(r.c.Models)) // levels below a model; 0: not visited
	var visit func(i int) int
	visit = func(i int) int {
		m := &r.c.Models[i]
		depth[i] = open
		deepest := 1
		look := func(name, path string) {
			k, ok := r.names[name]
			if !ok || strings.Contains(name, "/") {
				return
			}
			switch {
			case k == i:
				r.failAt(path, "%s is the model itself: name another target", path)
				return
			case depth[k] == open:
				r.failAt(path, "%s closes a circle: %s is made of %s; remove one of the targets between them",
					path, quote(r.c.Models[k].Name), quote(m.Name))
				return
			case depth[k] == 0:
				visit(k)
			}
			if depth[k] == maxNesting {
				r.failAt(path, "%s makes models nest more than %d deep: name its targets directly", path, maxNesting)
			}
			deepest = max(deepest, depth[k]+1)
		}
		for _, x := range r.parts(m) {
			look(x.name, x.path)
		}
		if m.Split != nil && m.Split.Shadow != nil {
			look(m.Split.Shadow.Model, "models."+m.Name+".split.shadow.model")
		}
		depth[i] = deepest
		return deepest
	}
	for i := range r.c.Models {
		if depth[i] == 0 {
			visit(i)
		}
	}
}
