package sim

import (
	"fmt"
	"slices"
)

// Shape is how an answer writes the links to results, in place of the documented form.
type Shape string

// The shapes. The zero value is the documented form.
const (
	ShapeText       Shape = "text"       // A list as JSON in a string.
	ShapeAlone      Shape = "alone"      // The first link alone.
	ShapeObjects    Shape = "objects"    // A list of objects with a url.
	ShapeBlanks     Shape = "blanks"     // A list with blanks around the links.
	ShapeTwice      Shape = "twice"      // A list that names each link twice.
	ShapeUnreadable Shape = "unreadable" // An object that names the first link under a word of its own.
)

// Shapes returns all shapes but the documented one.
func Shapes() []Shape {
	return []Shape{ShapeText, ShapeAlone, ShapeObjects, ShapeBlanks, ShapeTwice, ShapeUnreadable}
}

// parseShape sets the shape of a script.
func parseShape(s *Script, value string) error {
	if !slices.Contains(Shapes(), Shape(value)) {
		return fmt.Errorf("want one of %v", Shapes())
	}
	s.Shape = Shape(value)
	return nil
}

// Write returns links in the shape, or the documented form.
func (s Shape) Write(links []string, documented any) any {
	if len(links) == 0 {
		return documented
	}
	switch s {
	case ShapeText:
		return string(JSON(links))
	case ShapeAlone:
		return links[0]
	case ShapeObjects:
		objects := make([]map[string]string, 0, len(links))
		for _, link := range links {
			objects = append(objects, map[string]string{"url": link})
		}
		return objects
	case ShapeBlanks:
		blank := make([]string, 0, len(links))
		for _, link := range links {
			blank = append(blank, " "+link+"\n")
		}
		return blank
	case ShapeTwice:
		return slices.Concat(links, links)
	case ShapeUnreadable:
		return map[string]string{"location": links[0]}
	default:
		return documented
	}
}
