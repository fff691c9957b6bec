// Package cloud lets package media open buckets in clouds. It is imported for its effect:
//
//	import _ "github.com/refract-video/refract/internal/media/cloud"
//
// The clients of the clouds are a quarter of the size of the program. A test that has its bucket in a folder or in memory does without them.
package cloud
