package cloud

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/s3blob" // Opens s3:// buckets.

	"github.com/refract-video/refract/internal/media"
)

func init() { media.AddSweeper(sweepParts) }

// sweepParts ends uploads in parts to S3 that began before a time and were never completed: they are invisible, and cost
// money. Those with other keys may belong to another program.
func sweepParts(ctx context.Context, bucket *blob.Bucket, name string, before time.Time) error {
	var client *s3.Client
	if !bucket.As(&client) {
		return nil // Other kinds of buckets forget unfinished uploads by themselves.
	}
	var errs []error
	for _, prefix := range media.OwnPrefixes() {
		errs = append(errs, sweepPartsUnder(ctx, client, name, prefix, before))
	}
	return errors.Join(errs...)
}

func sweepPartsUnder(ctx context.Context, client *s3.Client, name, prefix string, before time.Time) error {
	pages := s3.NewListMultipartUploadsPaginator(client, &s3.ListMultipartUploadsInput{Bucket: &name, Prefix: &prefix})
	var errs []error
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list uploads in parts under %s: %w", prefix, err)
		}
		for _, u := range page.Uploads {
			if u.Initiated == nil || u.Initiated.After(before) {
				continue
			}
			_, err := client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &name, Key: u.Key, UploadId: u.UploadId})
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
