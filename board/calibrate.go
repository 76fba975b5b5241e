package board

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/BurntSushi/toml"
)

// Pair is a point of the screen, and what a touch panel said when it was touched there. All are from 0, left and top, to 1.
type Pair struct{ X, Y, RawX, RawY float64 }

// CalibrationError says why pairs make no calibration; those who touched can do it again.
type CalibrationError struct{ Why string }

func (e *CalibrationError) Error() string { return "calibrate: " + e.Why }

// affine takes a point of a panel to one of the screen: x' = a·x + b·y + c, y' = d·x + e·y + f, in this order.
type affine [6]float64

func (m affine) apply(x, y float64) (float64, float64) {
	return m[0]*x + m[1]*y + m[2], m[3]*x + m[4]*y + m[5]
}

// rotated is a panel that is turned against the screen, clockwise.
func rotated(degrees int) affine {
	switch degrees {
	case 90:
		return affine{0, -1, 1, 1, 0, 0}
	case 180:
		return affine{-1, 0, 1, 0, -1, 1}
	case 270:
		return affine{0, 1, 0, -1, 0, 1}
	}
	return affine{1, 0, 0, 0, 1, 0}
}

const (
	// leastArea is that of a panel's picture on the screen, or the other way round: less is one point touched over and over.
	leastArea = 0.2
	// mostMissed is how far from its point a touch may lie, as a share of the screen.
	mostMissed = 0.05
)

// calibration is the affine that fits pairs best, by least squares.
func calibration(pairs []Pair) (m affine, err error) {
	if len(pairs) < 3 {
		return m, &CalibrationError{"three points at least are needed"}
	}
	// The normal equations: s is symmetric, and the same for both rows of m.
	var s [3][3]float64
	var to [2][3]float64
	for _, p := range pairs {
		raw := [3]float64{p.RawX, p.RawY, 1}
		for i := range 3 {
			for j := range 3 {
				s[i][j] += raw[i] * raw[j]
			}
			to[0][i] += p.X * raw[i]
			to[1][i] += p.Y * raw[i]
		}
	}
	whole := determinant(s)
	for row := range 2 {
		for column := range 3 { // Cramer's rule
			replaced := s
			for i := range 3 {
				replaced[i][column] = to[row][i]
			}
			m[3*row+column] = determinant(replaced) / whole
		}
	}
	// Written so that what is no number is refused.
	if area := math.Abs(m[0]*m[4] - m[1]*m[3]); !(area >= leastArea && area <= 1/leastArea) {
		return m, &CalibrationError{"the points were not touched one after the other; touch each cross in its middle"}
	}
	for _, p := range pairs {
		if x, y := m.apply(p.RawX, p.RawY); !(math.Hypot(x-p.X, y-p.Y) <= mostMissed) {
			return m, &CalibrationError{"one of the points was missed; touch each cross in its middle"}
		}
	}
	return m, nil
}

func determinant(s [3][3]float64) float64 {
	return s[0][0]*(s[1][1]*s[2][2]-s[1][2]*s[2][1]) - s[0][1]*(s[1][0]*s[2][2]-s[1][2]*s[2][0]) + s[0][2]*(s[1][0]*s[2][1]-s[1][1]*s[2][0])
}

// calibrations are those of panels, by name, as the file keeps them.
type calibrations map[string]affine

type calibrationFile struct {
	Panel []struct {
		Name   string `toml:"name"`
		Matrix affine `toml:"matrix"`
	} `toml:"panel"`
}

func readCalibrations(path string) (calibrations, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return calibrations{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("calibration of the touch panel: %w", err)
	}
	c, err := parseCalibrations(b)
	if err != nil {
		return nil, fmt.Errorf("calibration of the touch panel: %s: %w; remove the file, and calibrate again", path, err)
	}
	return c, nil
}

func parseCalibrations(b []byte) (calibrations, error) {
	var file calibrationFile
	meta, err := toml.Decode(string(b), &file)
	if err != nil {
		return nil, err
	}
	if extra := meta.Undecoded(); len(extra) > 0 {
		return nil, fmt.Errorf("there is no setting %q", extra[0])
	}
	all := calibrations{}
	for _, p := range file.Panel {
		if area := math.Abs(p.Matrix[0]*p.Matrix[4] - p.Matrix[1]*p.Matrix[3]); !(area >= leastArea && area <= 1/leastArea) {
			return nil, fmt.Errorf("the matrix of %q makes no picture of it", p.Name)
		}
		for _, v := range p.Matrix {
			if !(math.Abs(v) < 100) {
				return nil, fmt.Errorf("the matrix of %q makes no picture of it", p.Name)
			}
		}
		all[p.Name] = p.Matrix
	}
	return all, nil
}

// write replaces the file whole, so that a cut of power leaves the one or the other.
func (c calibrations) write(path string) (err error) {
	var file calibrationFile
	for _, name := range sorted(c) {
		file.Panel = append(file.Panel, struct {
			Name   string `toml:"name"`
			Matrix affine `toml:"matrix"`
		}{name, c[name]})
	}
	text, err := toml.Marshal(file)
	if err != nil {
		return err
	}
	to, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(to.Name())
		}
	}()
	_, err = to.Write(text)
	if err = errors.Join(err, to.Sync(), to.Close()); err != nil {
		return err
	}
	return os.Rename(to.Name(), path)
}
