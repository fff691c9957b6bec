package console

import (
	"net/http"
	"net/url"

	refractv1 "github.com/refract-video/refract/gen/refract/v1"
)

// cancelTask cancels a task.
func (c *Console) cancelTask(v *visit) error {
	resp, err := c.tasks.CancelTask(v, &refractv1.CancelTaskRequest{TaskId: v.r.PathValue("id")})
	if err != nil {
		return c.refusedTask(v, err)
	}
	if resp.GetTask().GetState() != refractv1.TaskState_TASK_STATE_CANCELED {
		return v.doneWithTask("task-ended")
	}
	return v.doneWithTask("task-canceled")
}

// retryTask continues a task that failed or was canceled.
func (c *Console) retryTask(v *visit) error {
	_, err := c.tasks.RetryTask(v, &refractv1.RetryTaskRequest{
		TaskId: v.r.PathValue("id"), NewAttempt: v.r.PostForm.Get("new_attempt") == "yes",
	})
	if err != nil {
		return c.refusedTask(v, err)
	}
	return v.doneWithTask("task-retried")
}

// checkTask asks the provider about the newest attempt of a task.
func (c *Console) checkTask(v *visit) error {
	resp, err := c.operators.CheckTask(v, &refractv1.CheckTaskRequest{TaskId: v.r.PathValue("id")})
	if err != nil {
		return c.refusedTask(v, err)
	}
	return v.doneWithTask("task-check-" + word("INQUIRY_OUTCOME_", resp.GetInquiry().GetOutcome()))
}

// doneWithTask leads back to the page of a task, which says what was done. key is one of taskNotices.
func (v *visit) doneWithTask(key string) error {
	return v.done("/tasks/"+url.PathEscape(v.r.PathValue("id")), key)
}

// refusedTask shows the page of a task again with why its form was refused.
func (c *Console) refusedTask(v *visit, err error) error {
	p := errorPageOf(err)
	if p.Status == http.StatusNotFound || p.Status == http.StatusInternalServerError {
		return err
	}
	if shown := c.taskPage(v, p.Status, p.Message); shown == nil {
		return nil
	}
	return err // The page of the task fails too. The first error says more.
}
