package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// examples are settings that have no default: what stands in central.toml shows their form.
var examples = []string{
	"office.group", "smtp.ca", "smtp.user", "smtp.password_file", "notify.key_file", "notify.receipts_token_file", "scim.token_file",
	"cards.ca", "cards.profiles", "siem.ca",
}

var (
	section = regexp.MustCompile(`^\[([a-z.]+)\]$`)
	setting = regexp.MustCompile(`^#?\s*([a-z_]+) = `)
)

// What is commented out in central.toml is the default, and every setting stands there.
func TestWhatIsCommentedOutIsTheDefault(t *testing.T) {
	t.Parallel()
	lines := strings.Split(string(template), "\n")
	plain, err := parse(string(template), "/etc/latchkey")
	if err != nil {
		t.Fatal(err)
	}
	in, named := "", map[string]bool{}
	for i, line := range lines {
		trimmed := strings.TrimSpace(strings.TrimPrefix(line, "#"))
		if m := section.FindStringSubmatch(trimmed); m != nil && (line == trimmed || strings.HasPrefix(line, "#     ")) {
			in = m[1] + "."
			continue
		}
		m := setting.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		name := in + m[1]
		named[name] = true
		if strings.HasPrefix(line, "#     ") || !strings.HasPrefix(line, "#") || slices.Contains(examples, name) {
			continue
		}
		with := slices.Clone(lines)
		with[i] = line[1:]
		got, err := parse(strings.Join(with, "\n"), "/etc/latchkey")
		if err == nil && len(got.Policies.Default.WithoutProof) == 0 {
			got.Policies.Default.WithoutProof = nil
		}
		if err != nil || !reflect.DeepEqual(got, plain) {
			t.Errorf("line %d, %s: it is not the default: %v", i+1, line, err)
		}
	}
	var every func(at string, of reflect.Type)
	every = func(at string, of reflect.Type) {
		for f := range of.Fields() {
			tag := f.Tag.Get("toml")
			switch {
			case tag == "organisations":
			case tag == "policy":
				every("policy.", reflect.TypeFor[rules]())
			case tag == "":
				every(at, f.Type)
			case f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[duration]():
				every(at+tag+".", f.Type)
			case !named[at+tag]:
				t.Errorf("%s%s does not stand in central.toml", at, tag)
			}
		}
	}
	every("", reflect.TypeFor[file]())
}
