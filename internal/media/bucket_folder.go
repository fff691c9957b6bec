package media

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// pageFolder is Page of a file bucket, folder by folder; a page begins after the path from. The library would look at
// every file of the prefix for each page.
//
// NOTE: keys are the paths of files here. Keys that the library would escape on the disk are not of Refract.
func (b *Bucket) pageFolder(ctx context.Context, prefix, from string, limit int) (files []File, next []byte, err error) {
	root, err := b.root(ctx)
	if err != nil {
		return nil, nil, b.failed(ctx, "list", prefix, err)
	}
	defer func() { _ = root.Close() }()
	err = fs.WalkDir(root.FS(), path.Dir(prefix+"."), func(key string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // Nothing was ever put there, or it has been removed.
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case entry.IsDir() && !leadsTo(key, prefix, from):
			return fs.SkipDir
		case !entry.Type().IsRegular() || !strings.HasPrefix(key, prefix) || comparePaths(key, from) <= 0 || leftover.MatchString(key) || strings.HasPrefix(key, probePrefix):
			return nil
		case len(files) == limit:
			next = []byte(files[limit-1].Key)
			return fs.SkipAll
		}
		info, err := entry.Info()
		if err == nil {
			files = append(files, File{key, info.Size(), info.ModTime()})
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, nil, b.failed(ctx, "list", prefix, err)
	}
	return files, next, nil
}

// root opens the folder of a file bucket.
func (b *Bucket) root(ctx context.Context) (*os.Root, error) {
	if _, err := b.use(ctx); err != nil {
		return nil, err
	}
	return os.OpenRoot(b.folder)
}

// leadsTo reports whether a folder may hold files with a prefix behind the path from.
func leadsTo(folder, prefix, from string) bool {
	if folder == "." {
		return true
	}
	below := folder + "/"
	return (strings.HasPrefix(below, prefix) || strings.HasPrefix(prefix, below)) &&
		(comparePaths(folder, from) > 0 || strings.HasPrefix(from, below))
}

// comparePaths compares in the order of a walk, in which a folder comes where its name does.
func comparePaths(a, b string) int {
	return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
}

// removeEmptyFolders removes the folders of a file that is gone, as far as they are empty, but for those at the top.
// Put makes them anew.
func (b *Bucket) removeEmptyFolders(key string) {
	root, err := os.OpenRoot(b.folder)
	if err != nil {
		return
	}
	defer func() { _ = root.Close() }()
	for folder := path.Dir(key); strings.Contains(folder, "/"); folder = path.Dir(folder) {
		if root.Remove(folder) != nil { // It holds something, as a rule.
			return
		}
	}
}
