package quality

import (
	"math"
	"testing"
)

// The formulas, worked out by hand for one stratum.
func TestCompare(t *testing.T) {
	c := Compare([]Stratum{{Canary: Count{100, 20}, Control: Count{1900, 95}}}, 0.02)
	common := 115.5 / 2001
	v := common * (1 - common) * (1./100 + 1./1900)
	const t2 = 0.05 * 0.05
	evidence := math.Log(v/(v+t2))/2 + 0.13*0.13*t2/(2*v*(v+t2))
	reach := math.Sqrt(2 * v * (v + t2) / t2 * (math.Log(20) + math.Log((v+t2)/v)/2))
	if math.Abs(c.Difference-0.15) > 1e-9 || math.Abs(c.Evidence-evidence) > 1e-9 || math.Abs(c.Reach-reach) > 1e-9 {
		t.Errorf("got %+v, want a difference of 0.15, evidence %v, reach %v", c, evidence, reach)
	}
	if !c.Worse || c.Fine {
		t.Errorf("20 %% against 5 %% of a hundred: got %+v", c)
	}
}

func TestCompareSays(t *testing.T) {
	for _, x := range []struct {
		name        string
		strata      []Stratum
		worse, fine bool
	}{
		{"nothing", nil, false, false},
		{"too few", []Stratum{{Count{19, 19}, Count{1000, 0}}}, false, false},
		{"all bad", []Stratum{{Count{20, 20}, Count{1000, 50}}}, true, false},
		{"one bad where nothing ever is", []Stratum{{Count{20, 1}, Count{100_000, 0}}}, false, false},
		{"no control", []Stratum{{Count{1000, 1000}, Count{}}}, false, false},
		{"as good, few", []Stratum{{Count{200, 10}, Count{3800, 190}}}, false, false},
		{"as good, many", []Stratum{{Count{2500, 125}, Count{47_500, 2375}}}, false, true},
		{"a point and a half worse, many", []Stratum{{Count{20_000, 1300}, Count{20_000, 1000}}}, false, false},
		{"three points worse, very many", []Stratum{{Count{50_000, 4000}, Count{50_000, 2500}}}, true, false},
		{"never bad", []Stratum{{Count{2500, 0}, Count{47_500, 0}}}, false, true},
		// Both became worse while the canary's share grew: taken together the canary
		// would seem worse, 25 % against 12 %.
		{"worse for all", []Stratum{{Count{200, 10}, Count{19_800, 990}}, {Count{10_000, 2500}, Count{10_000, 2500}}}, false, true},
	} {
		if c := Compare(x.strata, 0.02); c.Worse != x.worse || c.Fine != x.fine {
			t.Errorf("%s: got worse %v, fine %v: %+v", x.name, c.Worse, c.Fine, c)
		}
	}
}

func TestBroken(t *testing.T) {
	row := func(all string) (r Recent) {
		for _, c := range all {
			r.Add(c == 'x')
		}
		return r
	}
	const well, half, dead = "....................", "x.x.x.x.x.x.x.x.x.x.", "xxxxxxxxxxxxxxxxxxxx"
	for _, x := range []struct {
		canary, control string
		want            bool
	}{
		{well, well, false}, {half, well, true}, {dead[:19], well, false}, {well + half, well, true}, {dead + well, well, false},
		{dead, dead, false}, {dead, half, false}, {dead, "", true}, {half[1:] + ".", well, false},
	} {
		if got := Broken(row(x.canary), row(x.control)); got != x.want {
			t.Errorf("canary %q, control %q: got %v, want %v", x.canary, x.control, got, x.want)
		}
	}
}
