package quality

import (
	"strings"
	"testing"

	"github.com/sluicegate/sluice/internal/llm"
)

func TestArithmetic(t *testing.T) {
	rows := []judged{{"nothing to check", said1("The sea is wide."), 0}}
	for _, s := range []string{
		"3 + 4 = 7",
		"So 3 + 4 = 7 apples.",
		"12 × 12 = 144, and 144 / 12 = 12.",
		"He pays $5.50 × 3 = $16.50.",
		"1,250 + 2,750 = 4,000",
		"1.250,50 + 1,00 = 1.251,50",
		"2,5 + 2,5 = 5",
		"10 / 3 = 3.33",
		"10 / 3 = 3",
		"7 / 2 = 3 remainder 1",
		"33.33 × 3 = 100",
		"0.67 × 300 = 200",
		"20% of 50 = 10",
		"20 / 80 × 100 = 25%",
		"3/4 = 75%",
		"15% × 200 = 30",
		"(3 + 4) × 2 = 14",
		"3 + 4 * 2 = 11",
		"-3 + 5 = 2",
		"5 - -3 = 8",
		"1/2 + 1/3 = 5/6",
		"1/2 + 1/4 = 3/4 cup",
		`\(3 \times 4 = 12\)`,
		`$3 \cdot 4 = 12$`,
		`\frac{1}{2} + \frac{1}{2} = 1`,
		"48/2 = <<48/2=24>>24",
		"2x + 3 = 7",
		"x + 3 + 4 = 9",
		"2 + 3x = 11",
		"2^3 + 1 = 9",
		"2 + 3² = 11",
		"5 hours + 30 minutes = 5.5 hours",
		"100 cm + 50 cm = 1.5 m",
		"90 minutes / 60 = 1 hour 30 minutes",
		"3 weeks × 7 = 21 days",
		"4 boxes × 12 eggs = 48 eggs",
		"5 apples + 3 apples = 8 apples",
		"$3 × 100 = 300 cents",
		"a = b = 3",
		"if (x == 3 + 5) y = 7",
		"total += 3 + 4 = 7",
		"3 + 4 = 7 = 14 / 2",
		"1 1/2 + 1/2 = 2",
		"1 000 + 500 = 1 500",
		"10:30 + 2 = 12:30",
		"- 3 + 4 = 7",
		"1. 3 + 4 = 7",
		"**3 + 4 = 7**",
		"Total: 17 - 9 = **8**",
		"In binary, 1 + 1 = 10",
		"17 mod 5 = 2, so 12 + 5 = 3 (mod 14)",
		"5! = 120",
		"3 ≠ 4, 3 + 4 >= 6, 3 + 4 => 7",
		"2 + 2 = 2 × 2",
		"f(3) + 4 = 11",
		"1,5 million + 0,5 million = 2 million",
		"100 - 20% = 80",
		"2024-05-01 = Wednesday",
		"100 / 3 ≈ 33",
		"9.99 × 2 = 19.98 dollars",
		"6 × 7 = 42!",
	} {
		rows = append(rows, judged{s, said1(s), 0})
	}
	for _, s := range []string{
		"3 + 4 = 8",
		"So we get 3 + 4 = 8 apples.",
		"12 × 12 = 140.",
		"He pays $5.50 × 3 = $17.50.",
		"1,250 + 2,750 = 5,000",
		"1.250,50 + 1,00 = 1.261,50",
		"10 / 3 = 3.4",
		"10 / 2 = 6",
		"20% of 50 = 12",
		"(3 + 4) × 2 = 15",
		"3 + 4 * 2 = 14",
		"1/2 + 1/3 = 2/5",
		`\(3 \times 4 = 13\)`,
		"48/2 = <<48/2=23>>23",
		"5 apples + 3 apples = 9 apples",
		"1.25 + 2.50 = 3.76",
		"3 + 4 = 7 = 16 / 2",
		"Total: 17 - 9 = **9**",
		"First 2 + 2 = 4. Then 4 × 5 = 25.",
		"123456789123456789 + 1 = 123456789123456791",
		"- 3 + 4 = 8",
		"2. 17 × 3 = 52",
		"Das sind 17 × 3 = 52 Eier.",
		"9.99 × 2 = 19.97 dollars",
	} {
		rows = append(rows, judged{s, said1(s), llm.FlagArithmetic})
	}
	try(t, "arithmetic", Options{}, rows)
}

func FuzzArithmetic(f *testing.F) {
	for _, s := range []string{"3 + 4 = 7", "1,5 × (2 - 3) / 0 = $5%", `\frac{1}{2} = 0.5`, "((((((((((1+1))))))))))=2", "1/0=1", "−3–4=÷", "=", "9=9=9=9", "1+1=\\text{ a}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if good, bad := sums(s); good < 0 || bad < 0 || good+bad > min(maxSums, strings.Count(s, "=")) {
			t.Fatalf("%q: %d, %d", s, good, bad)
		}
	})
}
