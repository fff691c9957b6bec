package webhooks

// subscribed selects the endpoints that receive an event, in a FROM clause after the tables of the event and of its task. OFFSET 0 makes
// each event look into the index for the endpoints of its tenant, of which most have none.
func subscribed(event, task string) string {
	return `
    CROSS JOIN LATERAL (
        SELECT id, url, labels
        FROM webhook_endpoint
        WHERE tenant = ` + event + `.tenant AND delete_time IS NULL AND disabled IS NULL AND ` + event + `.state = ANY (states)
        OFFSET 0
    ) AS endpoint
    CROSS JOIN LATERAL (` + task + `) AS own
    WHERE own.labels @> endpoint.labels AND (endpoint.url <> '' OR own.webhook_uri <> '')`
}

// InsertDeliveries returns an INSERT for the statement that writes events, which returns a row for each delivery. The events are rows of
// a table with the columns tenant, state and revision, and with the id of the task in another one. The task is a query for the columns
// labels and webhook_uri of that task.
func InsertDeliveries(event, id, task string) string {
	return `
    INSERT INTO webhook_delivery (task_id, revision, endpoint_id, task_state)
    SELECT ` + event + `.` + id + `, ` + event + `.revision, endpoint.id, ` + event + `.state
    FROM ` + event + subscribed(event, task) + `
    RETURNING task_id`
}

// UnsignedTasks selects the ids of new tasks, rows of a table, whose events no secret would sign: they have a webhook_uri, and their
// tenant has no endpoint without a URL. A task whose request id is known is not new. The subquery in the SELECT list is an index
// probe, and only for tasks with a webhook_uri.
func UnsignedTasks(items string) string {
	return `
    SELECT id
    FROM ` + items + ` AS item
    WHERE webhook_uri <> ''
      AND (SELECT id FROM webhook_endpoint WHERE tenant = item.tenant AND url = '' AND delete_time IS NULL) IS NULL
      AND (SELECT id FROM task WHERE tenant = item.tenant AND request_id = item.request_id) IS NULL`
}
