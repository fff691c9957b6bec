package console

import refractv1 "github.com/refract-video/refract/gen/refract/v1"

// taskList is what the list of tasks shows.
type taskList struct {
	Tasks []*refractv1.Task
	Next  string // The token of the next page; empty at the end.
}

// listTasks shows the tenant's tasks, newest first.
func (c *Console) listTasks(v *visit) error {
	resp, err := c.tasks.ListTasks(v, &refractv1.ListTasksRequest{PageToken: v.r.URL.Query().Get("page")})
	if err != nil {
		return err
	}
	return v.show("tasks", "Tasks", taskList{Tasks: resp.GetTasks(), Next: resp.GetNextPageToken()})
}
