// Package house holds the rules of the house against the source: who may import whom, which library has one importer,
// what the unlock machine may not touch, whose tests must see whether goroutines end, what stands at the top of the
// repository, that every package says what it is, and that the paths which firmware/README.md names exist.
//
// It reads the source and builds nothing, so it sees the files of every platform and build tag. Imports of test files are
// free. Each broken rule is one sentence that says who broke which rule and what to do.
package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// module is the module's name in go.mod.
const module = "latchkey"

// everybody may import the secret type, in which alone passcodes, PUKs and keys travel, and what writes files that survive a power cut.
var everybody = []string{"firmware/secret", "firmware/durable"}

// allowed says what of ours a package may import; the longest prefix decides. A name ending in /... is a folder and all
// below it. A package that nothing here stands for is a broken rule, so that somebody thinks when a room is added.
var allowed = []struct {
	pkg string
	may []string
}{
	{"firmware/secret", nil},
	{"firmware/durable", nil},
	{"firmware/wire", nil},
	{"firmware/wire/ra", []string{"firmware/wire"}},
	{"firmware/audit", nil},
	{"firmware/unlock", []string{"firmware/wire", "firmware/audit", "card"}},
	{"firmware/journal", []string{"firmware/wire", "firmware/audit"}},
	{"firmware/identity", []string{"firmware/wire"}},
	{"firmware/link", []string{"firmware/wire", "firmware/audit"}},
	// Both sides: a kiosk checks what central gives out.
	{"firmware/service", []string{"card"}},
	{"firmware/checkpoint", []string{"firmware/wire", "firmware/audit"}},
	{"firmware/kiosk", []string{"firmware/unlock", "firmware/wire", "firmware/audit", "firmware/journal", "firmware/service", "firmware/checkpoint", "card", "board/..."}},
	{"card", nil},
	{"card/...", []string{"card", "card/apdu", "card/profiles"}},
	{"card/families", []string{"card/..."}},
	{"card/apdu", []string{"card"}},
	{"card/profiles", []string{"card"}},
	{"board/...", []string{"board/..."}},
	{"image/...", []string{"image/..."}},
	// ui draws what unlock shows, and unlock's view is made of card's and wire's types.
	{"ui/...", []string{"firmware/unlock", "firmware/wire", "card", "ui/..."}},
	{"cmd/internal/...", []string{"firmware/...", "card/...", "board/..."}},
	{"cmd/kiosk", []string{"firmware/...", "card/...", "board/...", "ui", "cmd/internal/device", "image", "image/provision"}},
	{"cmd/central/...", []string{"firmware/wire", "firmware/wire/ra", "firmware/audit", "firmware/service", "card", "card/profiles", "cmd/central/internal/...", "cmd/internal/command", "image/provision"}},
	{"cmd/ractl", []string{"firmware/wire", "firmware/wire/ra", "firmware/audit", "cmd/internal/command"}},
	{"cmd/cardctl", []string{"firmware/...", "card/...", "cmd/internal/device"}},
	{"cmd/flash", []string{"image/..."}},
	{"cmd/init", []string{"image/..."}},
	{"tools/...", []string{"firmware/...", "card/...", "board/...", "ui/...", "image/...", "tools/..."}},
}

// forTests are for tests and tools alone.
var forTests = []string{"tools/...", "card/cardtest", "board/boardtest", "ui/samples"}

// libraries have one importer, mains excepted: who wants to change one changes one room. PKCS#11 has one on either side: a
// kiosk's card and central's HSM have nothing in common but the module.
var libraries = []struct {
	prefix string
	owners []string
}{
	{"github.com/ebfe/scard", []string{"card/pcsc"}},
	{"github.com/miekg/pkcs11", []string{"card/pkcs11", "cmd/central/internal/vault/hsm"}},
	{"github.com/gdamore/tcell", []string{"ui/..."}},
	{"periph.io/x", []string{"board/..."}},
	{"github.com/holoplot/go-evdev", []string{"board/..."}},
	{"go.etcd.io/bbolt", []string{"firmware/journal"}},
	{"github.com/google/go-tpm", []string{"firmware/identity"}},
}

// machine is pure: the same state and the same event give the same effects, so that a transcript can be replayed.
const machine = "firmware/unlock"

// impure are what the machine must not import, with all below.
var impure = []string{"sync", "os", "net", "io/fs", "syscall", "context", "math/rand", "crypto/rand", "runtime", "log"}

// clocks are what the machine must not use of package time; its events carry their time.
var clocks = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"}

// top is what may stand at the top of the repository, files with a dot in front aside.
var top = []string{
	"cmd", "firmware", "board", "ui", "card", "image", "tools",
	"go.mod", "go.sum", "Makefile", "README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md",
}

// pkg is one package of the tree, without its test files.
type pkg struct {
	name  string // of the package clause
	path  string // below the module
	doc   bool
	leaks bool // its tests look for goroutines that outlive them
	files []*ast.File
}

func (p *pkg) main() bool { return p.name == "main" }

// leakFinder is what tests import to see whether a goroutine outlives them.
const leakFinder = "\"go.uber.org/goleak\""

// starts tells whether the package starts goroutines, by the statement or through a sync.WaitGroup.
func starts(p *pkg) (found bool) {
	for _, f := range p.files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				found = true
			case *ast.SelectorExpr:
				found = found || n.Sel.Name == "Go"
			}
			return !found
		})
	}
	return found
}

// covers tells whether a pattern stands for a path.
func covers(pattern, path string) bool {
	below, all := strings.CutSuffix(pattern, "/...")
	return path == below || all && strings.HasPrefix(path, below+"/")
}

func coversAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return covers(p, path) })
}

// read parses the tree below root.
func read(root string) (*token.FileSet, []*pkg, error) {
	fset := token.NewFileSet()
	found, watched := map[string]*pkg{}, map[string]bool{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != root && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(file, ".go"):
			return nil
		case strings.HasSuffix(file, "_test.go"):
			text, err := os.ReadFile(file)
			if err == nil && strings.Contains(string(text), leakFinder) {
				watched[filepath.Dir(file)] = true
			}
			return err
		}
		f, err := parser.ParseFile(fset, file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		p := found[dir]
		if p == nil {
			p = &pkg{name: f.Name.Name, path: filepath.ToSlash(dir)}
			found[dir] = p
		}
		p.doc = p.doc || f.Doc != nil
		p.files = append(p.files, f)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read source: %w", err)
	}
	list := make([]*pkg, 0, len(found))
	for dir, p := range found {
		p.leaks = watched[filepath.Join(root, dir)]
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *pkg) int { return strings.Compare(a.path, b.path) })
	return fset, list, nil
}

// Check holds the tree below root against the rules that concern source, and returns a sentence for each broken one.
func Check(root string) (broken []string, err error) {
	fset, list, err := read(root)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("check %s: there is no Go source", root)
	}
	for _, p := range list {
		if !p.doc {
			broken = append(broken, fmt.Sprintf("%s has no package comment: say above the package clause what it is and what it refuses to do", p.path))
		}
		may, known := rule(p.path)
		if !known {
			broken = append(broken, fmt.Sprintf("%s is a package that no rule knows: say in tools/house/house.go what it may import", p.path))
			continue
		}
		for _, imported := range imports(p) {
			if says := judge(p, may, imported); says != "" {
				broken = append(broken, says)
			}
		}
		if !p.leaks && !p.main() && !coversAny(forTests, p.path) && starts(p) {
			broken = append(broken, fmt.Sprintf("%s starts goroutines, and its tests do not see whether they end: have its TestMain ask goleak", p.path))
		}
		if p.path == machine {
			broken = append(broken, impurities(fset, p)...)
		}
	}
	return broken, nil
}

// rule is what a package may import of ours.
func rule(path string) (may []string, known bool) {
	longest := -1
	for _, r := range allowed {
		if n := len(strings.TrimSuffix(r.pkg, "...")); covers(r.pkg, path) && n > longest {
			longest, may, known = n, r.may, true
		}
	}
	return may, known
}

// imports of a package, sorted.
func imports(p *pkg) (list []string) {
	for _, f := range p.files {
		for _, i := range f.Imports {
			if name, err := strconv.Unquote(i.Path.Value); err == nil {
				list = append(list, name)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func judge(p *pkg, may []string, imported string) string {
	if ours, is := strings.CutPrefix(imported, module+"/"); is {
		switch {
		case slices.Contains(everybody, ours):
			return ""
		case !covers("tools/...", p.path) && coversAny(forTests, ours):
			return fmt.Sprintf("%s imports %s, which is for tests and tools alone: move what it needs of it into a package of its own", p.path, ours)
		case coversAny(may, ours):
			return ""
		case len(may) == 0:
			return fmt.Sprintf("%s imports %s, and may import nothing of ours: have the caller give it what it needs", p.path, ours)
		}
		return fmt.Sprintf("%s imports %s, and may import of ours only %s: have the caller give it what it needs", p.path, ours, strings.Join(may, ", "))
	}
	for _, l := range libraries {
		if (imported == l.prefix || strings.HasPrefix(imported, l.prefix+"/")) && !coversAny(l.owners, p.path) && !p.main() {
			return fmt.Sprintf("%s imports %s, which only %s and mains may: ask that package instead", p.path, imported, strings.ReplaceAll(strings.Join(l.owners, " and "), "/...", ""))
		}
	}
	return ""
}

// impurities of the machine: a clock, a goroutine, a mutex, a file, a socket, chance.
func impurities(fset *token.FileSet, p *pkg) (broken []string) {
	say := func(n ast.Node, what, instead string) {
		at := fset.Position(n.Pos())
		broken = append(broken, fmt.Sprintf("%s %s (%s:%d), and the machine is pure: %s", p.path, what, filepath.Base(at.Filename), at.Line, instead))
	}
	for _, f := range p.files {
		clock := ""
		for _, i := range f.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				continue
			}
			if slices.ContainsFunc(impure, func(no string) bool { return covers(no+"/...", name) }) {
				say(i, "imports "+name, "give it what it needs with an event")
			}
			if name == "time" {
				clock = "time"
				if i.Name != nil {
					clock = i.Name.Name
				}
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				say(n, "starts a goroutine", "return an effect and let the loop do it")
			case *ast.SelectorExpr:
				if x, is := n.X.(*ast.Ident); is && clock != "" && x.Name == clock && slices.Contains(clocks, n.Sel.Name) {
					say(n, "uses time."+n.Sel.Name, "take the time of the event")
				}
			}
			return true
		})
	}
	return broken
}

// CheckTop returns a sentence for each thing that has no place at the top of the repository. What .gitignore names with a
// slash in front is built, not kept.
func CheckTop(root string) (broken []string, err error) {
	ignore, err := os.ReadFile(filepath.Join(root, ".gitignore"))
	if err != nil {
		return nil, fmt.Errorf("check top: %w", err)
	}
	built := strings.Split(string(ignore), "\n")
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("check top: %w", err)
	}
	for _, e := range entries {
		n := e.Name()
		if strings.HasPrefix(n, ".") || slices.Contains(top, n) || slices.Contains(built, "/"+n+"/") || slices.Contains(built, "/"+n) {
			continue
		}
		broken = append(broken, fmt.Sprintf("%s stands at the top of the repository, where only %s may: move it to the room that it belongs to", n, strings.Join(top, ", ")))
	}
	return broken, nil
}

// CheckPaths returns a sentence for each path between backticks in a document, given relative to root, that looks like one of this
// repository and does not exist. A path is looked for at the top and beside the document; * stands for anything.
func CheckPaths(root, document string) (broken []string, err error) {
	text, err := os.ReadFile(filepath.Join(root, document))
	if err != nil {
		return nil, fmt.Errorf("check paths of %s: %w", document, err)
	}
	quoted := strings.Split(string(text), "`")
	for i := 1; i < len(quoted)-1; i += 2 {
		name := strings.TrimPrefix(quoted[i], "./")
		if !looksLikePath(name) {
			continue
		}
		name = strings.TrimSuffix(strings.TrimSuffix(name, "..."), "/")
		if !exists(root, name) && !exists(filepath.Join(root, path.Dir(document)), name) {
			broken = append(broken, fmt.Sprintf("%s names %s, which is not there: correct the name, or the document if it has become untrue", document, name))
		}
	}
	return broken, nil
}

// looksLikePath: it begins with a folder of the top, is a file of the top, or ends like a source file.
func looksLikePath(s string) bool {
	if s == "" || strings.ContainsAny(s, " \n\t()<>{}$=:,\"'") || strings.HasPrefix(s, "/") || strings.Contains(s, "..") && !strings.HasSuffix(s, "/...") {
		return false
	}
	first, _, deep := strings.Cut(s, "/")
	if slices.Contains(top, first) {
		return deep || strings.Contains(first, ".") || first == "Makefile"
	}
	return slices.Contains([]string{".go", ".md", ".yaml", ".json", ".txt", ".sql"}, path.Ext(s))
}

func exists(dir, name string) bool {
	found, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(name)))
	return err == nil && len(found) > 0
}
