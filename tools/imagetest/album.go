package main

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
)

// album keeps pictures of screens, each as a file, and at the end all of them on one sheet.
type album struct {
	dir      string
	pictures []image.Image
}

func (a *album) add(name string, picture image.Image) error {
	a.pictures = append(a.pictures, picture)
	return write(filepath.Join(a.dir, fmt.Sprintf("%02d-%s.png", len(a.pictures), name)), picture)
}

func write(path string, picture image.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := png.Encode(f, picture); err != nil {
		return err
	}
	return f.Close()
}

// The sheet: so many pictures in a row, each at half its size, and so much between them.
const (
	across = 4
	shrink = 2
	gap    = 8
)

// bind writes the sheet, in the order of the pictures.
func (a *album) bind() error {
	if len(a.pictures) == 0 {
		return nil
	}
	size := a.pictures[0].Bounds().Size().Div(shrink)
	rows := (len(a.pictures) + across - 1) / across
	sheet := image.NewRGBA(image.Rect(0, 0, across*(size.X+gap)+gap, rows*(size.Y+gap)+gap))
	draw.Draw(sheet, sheet.Bounds(), image.NewUniform(color.Gray{0x40}), image.Point{}, draw.Src)
	for n, picture := range a.pictures {
		corner := image.Pt(gap+n%across*(size.X+gap), gap+n/across*(size.Y+gap))
		for y := range size.Y {
			for x := range size.X {
				sheet.Set(corner.X+x, corner.Y+y, mean(picture, x*shrink, y*shrink))
			}
		}
	}
	return write(filepath.Join(a.dir, "sheet.png"), sheet)
}

// mean is the colour of shrink by shrink pixels.
func mean(picture image.Image, x, y int) color.Color {
	var r, g, b uint32
	for dy := range shrink {
		for dx := range shrink {
			pr, pg, pb, _ := picture.At(x+dx, y+dy).RGBA()
			r, g, b = r+pr, g+pg, b+pb
		}
	}
	const n = shrink * shrink
	return color.RGBA64{uint16(r / n), uint16(g / n), uint16(b / n), 0xFFFF}
}
