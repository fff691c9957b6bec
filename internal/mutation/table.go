package main

import "fmt"

// The packages of the named tests.
const (
	service   = "internal/e2e"
	promises  = "internal/e2e/promises"
	operation = "internal/e2e/operation"
	admission = "internal/admission"
	api       = "internal/api"
	identity  = "internal/identity"
	callback  = "internal/callback"
	commits   = "internal/groupcommit"
	connlimit = "internal/connlimit"
	fair      = "internal/fair"
	frontier  = "internal/postgres/frontier"
	httpapi   = "internal/httpapi"
	inbox     = "internal/postgres/inbox"
	lifecycle = "internal/lifecycle"
	postgres  = "internal/postgres"
	precheck  = "internal/precheck"
	publicerr = "internal/publicerr"
	queue     = "internal/queue"
	redact    = "internal/redact"
	source    = "internal/source"
	task      = "internal/task"
	watch     = "internal/watch"
	wire      = "internal/provider/wire"
	dispatch  = "internal/dispatch"
	upstream  = "internal/upstream"
	webhooks  = "internal/postgres/webhooks"
)

// everyEvent is the test of webhooks with a subtest for each of its parts.
const everyEvent = "TestPromise17_EveryEventReachesEverySubscribedEndpoint"

// usesRapid is the set of packages whose tests use rapid.
var usesRapid = map[string]bool{admission: true, commits: true, fair: true, httpapi: true, postgres: true, task: true, watch: true, upstream: true, webhooks: true}

// mutations are all mutations, by promise. A mutation must not make a test loop without end: that can use up all memory
// before the timeout.
var mutations = append(differences(), []mutation{
	// 1. Durable acknowledgement.
	{
		1, "acknowledged-before-commit", "internal/lifecycle/submit.go",
		"	for j, c := range l.store.CreateTasks(ctx, begun) {\n",
		"	go l.store.CreateTasks(context.WithoutCancel(ctx), begun)\n" +
			"	for j, d := range begun {\n" +
			"		c := NewTask{Task: d.Task, New: true}\n",
		[]test{{promises, "TestPromise01_DurableAcknowledgement"}},
	},
	{
		1, "callback-not-in-inbox", "internal/lifecycle/settle_callback.go",
		"return Change{Decision: d, Callback: &c}, nil",
		"return Change{Decision: d}, nil",
		[]test{
			{promises, "TestPromise01_DurableAcknowledgement"},
			{lifecycle, "TestSettleCallback_VerdictInboxAndTaskAgree"},
		},
	},
	{
		1, "failed-commit-acknowledged", "internal/groupcommit/settle.go",
		"			results[i] = Result[Out]{Err: err}\n",
		"			results[i] = Result[Out]{}\n",
		[]test{{commits, "TestGroup_EveryItemGetsExactlyOneTrueResult"}},
	},
	{
		1, "commits-of-a-default", "internal/postgres/dbpool/session.go",
		"set_config('synchronous_commit', 'on', false)",
		"set_config('synchronous_commit', 'off', false)",
		[]test{{postgres, "TestOpen_InheritedDefaultsChangeNothing"}},
	},

	{
		1, "ingress-answers-before-it-stores", "internal/callback/intake.go",
		"	switch err := in.appender.Append(ctx, sealed); {\n",
		"	switch err := func() error { _ = sealed; return nil }(); {\n",
		[]test{
			{operation, "TestRoles_CallbacksAreAcceptedWhileNothingElseRuns"},
			{callback, "TestIntake_HasTheVerdictsOfTheDirectPath"},
		},
	},
	{
		1, "stored-callbacks-never-settled", "internal/server/server.go",
		"		s.working = append(s.working, settler.Run)\n",
		"		_ = settler\n",
		[]test{{operation, "TestRoles_CallbacksAreAcceptedWhileNothingElseRuns"}},
	},

	// 2. Idempotent submit.
	{
		2, "no-on-conflict", "internal/postgres/insert_tasks.go",
		"    ON CONFLICT ON CONSTRAINT task_request_id_key DO NOTHING\n",
		"",
		[]test{
			{promises, "TestPromise02_IdempotentSubmit"},
			{postgres, "TestCreateTasks_OneRequestIDMakesOneTask"},
			{lifecycle, "TestSubmit_ConcurrentCallsMakeOneTask"},
		},
	},
	{
		2, "isolation-of-a-default", "internal/postgres/dbpool/session.go",
		"SET default_transaction_isolation = 'read committed';\n",
		"",
		[]test{{postgres, "TestOpen_InheritedDefaultsChangeNothing"}},
	},

	// 3. Never pay twice.
	{
		3, "sent-attempt-sent-again", "internal/task/attempt_inputs.go",
		"	case a.Sent:\n		return fmt.Errorf(\"attempt %s: %w\", in.Attempt, ErrAlreadySent)\n",
		"",
		[]test{
			{promises, "TestPromise03_NeverPayTwiceWhenKilled"},
			{promises, "TestPromise03_NeverPayTwiceWhenAJobRunsTwice"},
			{task, "TestApply_KeepsItsPromisesInEveryOrder"},
		},
	},
	{
		3, "intent-not-recorded", "internal/task/attempt_inputs.go",
		"		a.Sent, a.Remote = true, in.Remote\n",
		"",
		[]test{
			{promises, "TestPromise03_NeverPayTwiceWhenKilled"},
			{promises, "TestPromise03_NeverPayTwiceWhenAJobRunsTwice"},
		},
	},
	{
		3, "answer-settled-once", "internal/lifecycle/send.go",
		"if err == nil || errors.Is(err, task.ErrProviderTaskMismatch) || errors.Is(err, ErrAttemptNotFound) {",
		"if true {",
		[]test{
			{promises, "TestPromise03_NeverPayTwiceWhenTheDatabaseIsLost"},
			{lifecycle, "TestSend_WritesTheAnswerDownWhenTheDatabaseWorksAgain"},
		},
	},
	{
		3, "answer-lost-with-caller", "internal/lifecycle/send.go",
		"context.WithTimeout(context.WithoutCancel(ctx), SettleTimeout)",
		"context.WithTimeout(ctx, SettleTimeout)",
		[]test{{lifecycle, "TestSend_WritesTheAnswerDownThoughItsCallerIsStopped"}},
	},
	{
		3, "not-sent-awaits-callback", "internal/lifecycle/submission_rules.go",
		"{provider.NotSent, CreatedNo, sendAgain,",
		"{provider.NotSent, CreatedNo, awaitCallback,",
		[]test{
			{promises, "TestPromise03_NothingWasSent"},
			{lifecycle, "TestSend_EveryAnswerEndsAsTheTableSays"},
		},
	},
	{
		3, "no-brake", "internal/lifecycle/submission_rules.go",
		`var brake = &Pause{Reason: "unknown_outcomes", For: 5 * time.Second, Max: 5 * time.Minute, After: 3}`,
		"var brake *Pause",
		[]test{
			{promises, "TestPromise03_AnOutageIsBraked"},
			{lifecycle, "TestAdmit_UnknownOutcomesInARowPauseAndAreProbed"},
		},
	},
	{
		3, "ambiguous-sent-again", "internal/lifecycle/submission_rules.go",
		"{provider.Ambiguous, CreatedUnknown, awaitCallback, brake}",
		"{provider.Ambiguous, CreatedUnknown, sendAgain, brake}",
		[]test{
			{promises, "TestPromise03_NeverPayTwice"},
			{lifecycle, "TestSubmissionRules_NeverPayTwice"},
		},
	},
	{
		3, "body-can-be-rewound", "internal/provider/wire/call.go",
		"	req.Body = body\n",
		"	req.GetBody = func() (io.ReadCloser, error) { body.r = bytes.NewReader(buf.Bytes()); return body, nil }\n" +
			"	req.Body, _ = req.GetBody()\n",
		[]test{
			{"internal/provider/kie", "TestExchanges"},
			{"internal/provider/luma", "TestExchanges"},
			{"internal/provider/lumaagents", "TestExchanges"},
			{"internal/provider/fal", "TestExchanges"},
		},
	},
	{
		3, "provider-task-of-two-attempts", "internal/postgres/migrations/00021_unknown_outcomes.sql",
		"CREATE UNIQUE INDEX attempt_provider_task",
		"CREATE INDEX attempt_provider_task",
		[]test{{lifecycle, "TestProviderTask_OfAnotherAttemptIsNotBelieved"}},
	},

	// 4. Every change, once, in order.
	{
		4, "sent-revision-not-noted", "internal/watch/watch.go",
		"			w.sent = page[i].Revision\n",
		"",
		[]test{{promises, "TestPromise04_EveryChangeOnceInOrder"}},
	},
	{
		4, "streams-not-drained", "internal/watch/hub.go",
		"func (h *Hub) Drain() { h.drain() }",
		"func (h *Hub) Drain() {}",
		[]test{
			{promises, "TestPromise04_EveryChangeOnceInOrder"},
			{operation, "TestSIGTERM_Drains"},
			{watch, "TestHub_DrainEndsEveryWatch"},
		},
	},
	{
		4, "changes-of-others-unnoticed", "internal/server/server.go",
		"append(s.listening, db.notifier.Run, listener.Run, db.clock.Run)\n	if f.has(roleAPI) {\n		s.listening = append(s.listening, hub.Run)\n	}\n",
		"append(s.listening, db.notifier.Run, db.clock.Run)\n	_ = listener\n",
		[]test{{promises, "TestPromise04_EveryChangeOnceInOrder"}},
	},
	{
		4, "late-bookmarks", "internal/server/server.go",
		"BookmarkInterval = 14 * time.Second",
		"BookmarkInterval = 16 * time.Second",
		[]test{{promises, "TestPromise04_IdleStreamsCarryBookmarks"}},
	},
	{
		4, "lost-log-ends-nothing", "internal/watch/log_state.go",
		"	if s.loss == nil && s.failure != nil &&",
		"	if false &&",
		[]test{{promises, "TestPromise04_AReplicaWithoutItsDatabaseEndsItsStreams"}},
	},
	{
		4, "removed-revisions-passed-over", "internal/watch/read.go",
		"	case next > sent+1:\n		return &ExpiredError{Oldest: next}\n",
		"",
		[]test{
			{promises, "TestPromise04_EveryChangeOnceInOrder"},
			{watch, "TestWatch_ExpiredRevisionIsRefusedWithTheOldest"},
		},
	},
	{
		4, "steps-over-what-is-in-flight", "internal/postgres/frontier/frontier.go",
		"	if int32(oldest-f.mark.next) >= 0 {",
		"	if true {",
		[]test{{frontier, "TestFrontier_StepsOverNothingThatIsStillInFlight"}},
	},

	// 5. Terminal is terminal.
	{
		5, "late-result-surfaced", "internal/task/attempt_inputs.go",
		`	case Queued, Submitting, Running:
		d.save(a, in.Links, fmt.Sprintf("%s finished attempt %d", a.Provider, a.Number))
	case Failed, Canceled:
		// Not surfaced, but kept: a retry adopts it for free.
		d.enqueue(SaveOutputs{AttemptID: a.ID, Links: in.Links})
`,
		`	case Queued, Submitting, Running, Failed, Canceled:
		d.save(a, in.Links, fmt.Sprintf("%s finished attempt %d", a.Provider, a.Number))
`,
		[]test{
			{promises, "TestPromise05_TerminalIsTerminal"},
			{task, "TestApply_KeepsItsPromisesInEveryOrder"},
		},
	},
	{
		5, "terminal-task-canceled", "internal/task/caller_inputs.go",
		"	if d.Task.State.Terminal() {\n",
		"	if false {\n",
		[]test{
			{promises, "TestPromise05_TerminalIsTerminal"},
			{task, "TestApply_KeepsItsPromisesInEveryOrder"},
		},
	},

	// 6. Callbacks are hints until proven.
	{
		6, "kept-before-verified", "internal/callback/receive.go",
		"	id, err := r.tokens.Verify(account, token)\n",
		`	if err := r.settler.RefuseCallback(ctx, lifecycle.Callback{
		AttemptID: "01970000-0000-7000-8000-000000000000", Account: account, Verdict: lifecycle.Malformed,
	}); err != nil && !errors.Is(err, lifecycle.ErrAttemptNotFound) {
		return "", err
	}
	id, err := r.tokens.Verify(account, token)
`,
		[]test{{promises, "TestPromise06_NoTokenNoDatabase"}},
	},
	{
		6, "looked-up-before-verified", "internal/callback/receive.go",
		"	id, err := r.tokens.Verify(account, token)\n",
		`	if _, err := r.settler.SettleCallback(ctx, lifecycle.Callback{
		AttemptID: "01970000-0000-7000-8000-000000000000", Account: account,
	}, provider.Callback{}); err != nil && !errors.Is(err, lifecycle.ErrAttemptNotFound) {
		return "", err
	}
	id, err := r.tokens.Verify(account, token)
`,
		[]test{{promises, "TestPromise06_NoTokenNoDatabase"}},
	},
	{
		6, "body-read-before-token", "internal/httpapi/ingress.go",
		"	if err := h.callbacks.CheckToken(r.Context(), provider, token); err != nil {\n",
		"	if err := h.callbacks.CheckToken(r.Context(), provider, token); false {\n",
		[]test{{httpapi, "TestIngress_ReadsNoBodyWithoutAToken"}},
	},
	{
		6, "token-not-verified", "internal/signedtoken/signedtoken.go",
		"	if !valid {\n",
		"	if false {\n",
		[]test{
			{promises, "TestPromise06_NoTokenNoDatabase"},
			{callback, "TestVerify_RefusesEveryForgedBit"},
		},
	},
	{
		6, "failure-believed", "internal/lifecycle/settle_callback.go",
		"	case a.State == task.AttemptRefused:\n		return nil, Conflict\n",
		"	case said.Status.Phase == provider.Failed:\n" +
			"		return task.GenerationFailed{Attempt: id, ProviderTaskID: said.ProviderTaskID, Message: said.Status.Message}, Applied\n" +
			"	case a.State == task.AttemptRefused:\n		return nil, Conflict\n",
		[]test{{promises, "TestPromise06_CallbacksAreHints"}},
	},
	{
		6, "unproven-success-believed", "internal/lifecycle/settle_callback.go",
		"	case said.Proof == provider.ProofID && said.Status.Phase == provider.Succeeded:\n",
		"	case said.Status.Phase == provider.Succeeded:\n",
		[]test{{promises, "TestPromise06_CallbacksAreHints"}},
	},
	{
		6, "refused-callbacks-unbounded", "internal/postgres/inbox/keep.go",
		"count(*) < $6 AND",
		"count(*) < $6 + 1000 AND",
		[]test{
			{promises, "TestPromise06_RefusedCallbacksAreBounded"},
			{lifecycle, "TestRefuseCallback_IsBoundedPerAttempt"},
			{inbox, "TestKeepCallback_KeepsUpToItsLimit"},
		},
	},
	{
		6, "unknown-hint-excused", "internal/dispatch/check.go",
		"	if c.Hinted {\n",
		"	if false {\n",
		[]test{{operation, "TestUnsignedCallback_CantGiveAnAttemptAForeignID"}},
	},
	{
		6, "accepted-callbacks-unbounded", "internal/postgres/write_rows.go",
		"WHERE verdict = 'applied' OR (\n",
		"WHERE true OR (\n",
		[]test{
			{promises, "TestPromise06_AcceptedCallbacksAreBounded"},
			{lifecycle, "TestSettleCallback_RowsAndBytesAreBoundedPerAttempt"},
		},
	},

	// 7. No lost callback matters.
	{
		7, "no-checkers", "internal/server/server.go",
		"		for account, u := range upstreams {\n			s.working = append(s.working, dispatch.NewChecker(u, verbs, signals.checks[account], log).Run)\n		}\n",
		"",
		[]test{{promises, "TestPromise07_NoLostCallbackMatters"}},
	},
	{
		7, "verdicts-not-counted", "internal/lifecycle/lifecycle.go",
		"	if a.State != before && !a.Open() {\n",
		"	if false && a.State != before {\n",
		[]test{{promises, "TestPromise07_NoLostCallbackMatters"}},
	},
	{
		7, "no-reservations", "internal/upstream/upstream.go",
		"	if u.Pause == 0 || n == 0 {\n",
		"	if true {\n",
		[]test{
			{promises, "TestPromise07_EveryAttemptIsAskedAbout"},
			{upstream, "TestUpstream_EveryQuestionWaitsForItsTurn"},
		},
	},
	{
		7, "round-waits-for-answers", "internal/dispatch/check.go",
		"	return len(checks), next, nil\n",
		"	c.underway.Wait()\n	return len(checks), next, nil\n",
		[]test{{dispatch, "TestChecker_AsksOnWhileAnswersAreAwaited"}},
	},
	{
		7, "each-replica-for-itself", "internal/postgres/query_reservation.go",
		"SET next_time = greatest(q.next_time, clock_timestamp()) +",
		"SET next_time = clock_timestamp() +",
		[]test{
			{promises, "TestPromise07_EveryAttemptIsAskedAbout"},
			{postgres, "TestReserveQueries_GivesEveryQuestionATimeOfItsOwn"},
		},
	},
	{
		7, "late-questions-leave", "internal/upstream/upstream.go",
		"time.Since(at) <= maxLateness",
		"time.Since(at) <= u.Pause/2",
		[]test{{upstream, "TestUpstream_NoSecondHoldsMoreQuestionsThanTheLimit"}},
	},
	{
		7, "asks-without-a-pause", "internal/upstream/upstream.go",
		"		if loop.Sleep(ctx, time.Until(at)) != nil {\n			return ctx.Err()\n		}\n",
		"		if loop.Sleep(ctx, 0) != nil {\n			return ctx.Err()\n		}\n",
		[]test{
			{upstream, "TestUpstream_EveryQuestionWaitsForItsTurn"},
			{upstream, "TestUpstream_NoSecondHoldsMoreQuestionsThanTheLimit"},
		},
	},

	// 8. No result is lost.
	{
		8, "succeeded-before-saved", "internal/output/save.go",
		"	outputs, err := s.saveInTime(ctx, t, *a, job)\n",
		`	early := []task.Output{{Key: outputKeys(t.ID, a.Number, 1)[0], ContentType: "video/mp4", SizeBytes: 1, SHA256: make([]byte, 32)}}
	if err := s.settle(ctx, id, early); err != nil {
		return err
	}
	outputs, err := s.saveInTime(ctx, t, *a, job)
`,
		[]test{{promises, "TestPromise08_NoResultIsLost"}},
	},
	{
		8, "file-not-stored", "internal/media/save.go",
		"	if err := s.Bucket.Put(ctx, key, contentType, r); err != nil {\n",
		"	_ = contentType\n	if _, err := io.Copy(io.Discard, r); err != nil {\n",
		[]test{
			{promises, "TestPromise08_NoResultIsLost"},
			{"internal/media", "TestSave_StoresWholeFile"},
		},
	},
	{
		8, "two-saves-one-key", "internal/output/save.go",
		"	_, _ = rand.Read(try)",
		"	_, _ = rand.Read(nil)",
		[]test{{service, "TestSave_TwoOfOneAttemptLeaveTheFileOfTheFirst"}},
	},
	{
		8, "recorded-file-taken-back", "internal/output/save.go",
		"	if !recorded && (err == nil",
		"	if (recorded || !recorded) && (err == nil",
		[]test{{service, "TestSave_TwoOfOneAttemptLeaveTheFileOfTheFirst"}},
	},

	// 19. Nothing is spent that cannot be saved. It follows promise 8, since both are about results.
	{
		19, "admitted-without-storage", "internal/dispatch/admit.go",
		"	if !l.Storage.Working() {\n",
		"	if false {\n",
		[]test{{dispatch, "TestAdmissionLoop_AdmitsNothingWhileResultsCantBeStored"}, {promises, "TestPromise19_NothingIsSpentThatCannotBeSaved"}, {promises, "TestPromise19_AReplicaWhoseStorageFailsLeavesTheWorkToOthers"}},
	},
	{
		19, "new-jobs-not-left-to-others", "internal/queue/queue.go",
		"	those.Now = e.takesBefore()\n",
		"",
		[]test{{queue, "TestQueue_LeavesNewJobsToOthersWhileItYields"}, {promises, "TestPromise19_AReplicaWhoseStorageFailsLeavesTheWorkToOthers"}},
	},
	{
		19, "never-yields", "internal/server/server.go",
		"!storageWatcher.Working() || !restoreFence.Checked() },\n",
		"false },\n",
		[]test{{promises, "TestPromise19_AReplicaWhoseStorageFailsLeavesTheWorkToOthers"}},
	},
	{
		19, "storage-counts-as-the-provider", "internal/output/trouble.go",
		"	case errors.Is(err, media.ErrStorage):\n		return task.WaitStorage\n",
		"",
		[]test{{promises, "TestPromise19_NothingIsSpentThatCannotBeSaved"}},
	},
	{
		19, "old-probe-clears-new-failure", "internal/storage/watcher.go",
		"		if w.reports == reports {\n",
		"		if w.reports >= reports {\n",
		[]test{{"internal/storage", "TestWatcher_AReportedFailureCountsUntilAProbeSucceeds"}},
	},
	{
		19, "missing-bucket-is-a-missing-file", "internal/media/bucket.go",
		"		if err = b.vanished(ctx, blobs); err == nil {\n",
		"		if err != nil {\n",
		[]test{{"internal/media/buckettest", "TestS3Bucket"}},
	},

	// 9. The fleet obeys the provider.
	{
		9, "unanswered-not-counted", "internal/postgres/admit_tasks.go",
		"WHERE account = $1 AND answer_time IS NULL)",
		"WHERE account = $1 AND answer_time IS NULL AND false)",
		[]test{
			{promises, "TestPromise09_TheFleetObeysTheProvider"},
			{lifecycle, "TestAdmit_WindowIsExactWhileManyReplicasAdmit"},
		},
	},
	{
		9, "takeover-frees-permits", "internal/lifecycle/submission_rules.go",
		"InTransit: a.inTransit,",
		"InTransit: 0,",
		[]test{
			{promises, "TestPromise09_ATakeoverKeepsTheLimit"},
			{lifecycle, "TestPermits_AreHeldUntilTheRequestCanNoLongerArrive"},
		},
	},
	{
		9, "answered-not-counted", "internal/postgres/admit_tasks.go",
		"answer_time > now() - make_interval(secs => $2) AND sent)",
		"answer_time > now() - make_interval(secs => $2) AND false)",
		[]test{{promises, "TestPromise09_TheFleetObeysTheProvider"}},
	},
	{
		9, "window-from-create-time", "internal/postgres/admit_tasks.go",
		"answer_time > now() - make_interval(secs => $2) AND sent)",
		"create_time > now() - make_interval(secs => $2) AND answer_time IS NOT NULL AND sent)",
		[]test{{promises, "TestPromise09_TheFleetObeysTheProvider"}},
	},
	{
		9, "in-flight-not-counted", "internal/postgres/admit_tasks.go",
		"WHERE account = $1 AND state IN ('SUBMITTING', 'UNCONFIRMED', 'RUNNING'))",
		"WHERE account = $1 AND false)",
		[]test{{lifecycle, "TestAdmit_InFlightCapIsExactWhileManyReplicasAdmit"}},
	},
	{
		9, "account-not-locked", "internal/postgres/admit_tasks.go",
		"ORDER BY account\nFOR UPDATE SKIP LOCKED`",
		"ORDER BY account`",
		[]test{{lifecycle, "TestAdmit_WindowIsExactWhileManyReplicasAdmit"}},
	},

	// 10. Fair, bounded and visible.
	{
		10, "items-not-counted", "internal/precheck/precheck.go",
		"		if !c.takes(min(items, counts[f.list]-f.limit), apart) {\n",
		"		if false {\n",
		[]test{
			{precheck, "TestCounts_AreThoseOfTheContract"},
			{precheck, "TestCounts_RefusingCostsNothing"},
		},
	},
	{
		10, "page-not-bounded", "internal/api/page_token.go",
		"total > maxAnswer && i > 0 {",
		"total < 0 {",
		[]test{{api, "TestLists_FitIntoAnAnswer"}},
	},
	{
		10, "large-calls-without-shares", "internal/api/large_calls.go",
		"fair.Claim{Tenant: tenant, Due: time.Now()}",
		"fair.Claim{Tenant: fmt.Sprintf(\"%p\", p), Due: time.Now()}",
		[]test{{api, "TestLargeCalls_ATenantDelaysNoOther"}},
	},
	{
		10, "status-not-bounded", "internal/publicerr/publicerr.go",
		"	if proto.Size(p) <= MaxSize {\n",
		"	if proto.Size(p) >= 0 {\n",
		[]test{{publicerr, "TestBound_EveryStatusFitsIntoTrailers"}},
	},
	{
		10, "silent-connections-stay", "internal/connlimit/connlimit.go",
		"		evicted = l.idle()\n",
		"",
		[]test{{connlimit, "TestListener_AFloodOfSilentConnectionsLeavesRoom"}},
	},
	{
		10, "body-of-a-stranger-read", "internal/httpapi/request_guard.go",
		"	if caller := callerOf(r.Context()); caller != nil {\n",
		"	if caller := callerOf(r.Context()); caller != nil && r == nil {\n",
		[]test{{httpapi, "TestREST_ReadsNoBodyOfAStranger"}},
	},
	{
		10, "shares-not-compared", "internal/admission/queue.go",
		"mine != others {",
		"false && mine != others {",
		[]test{
			{lifecycle, "TestPromise10_ABacklogDelaysItsOwnTenantAlone"},
			{admission, "TestShare_IsFairWhateverWaits"},
		},
	},
	{
		10, "unsent-attempt-takes-permit", "internal/postgres/admit_tasks.go",
		"answer_time > now() - make_interval(secs => $2) AND sent)",
		"answer_time > now() - make_interval(secs => $2))",
		[]test{
			{promises, "TestPromise10_SlowSourcesDelayTheirOwnTenantAlone"},
			{lifecycle, "TestDefer_HoldsNothing"},
		},
	},
	{
		10, "unprepared-task-admitted", "internal/postgres/preparation.go",
		"UPDATE task SET not_before_time = 'infinity'",
		"UPDATE task SET not_before_time = now()",
		[]test{
			{promises, "TestPromise10_SlowSourcesDelayTheirOwnTenantAlone"},
			{lifecycle, "TestDefer_HoldsNothing"},
		},
	},
	{
		10, "source-awaited-with-permit", "internal/source/submit_wait.go",
		"	waiting, cancel := context.WithTimeoutCause(ctx, limit, ErrNotReady)\n",
		"	waiting, cancel := context.WithCancel(ctx)\n",
		[]test{{source, "TestSubmitWaits_ATenantWithSlowSourcesWaitsShortly"}},
	},
	{
		10, "submissions-look-without-shares", "internal/dispatch/submit.go",
		"fair.Claim{Tenant: job.Args.Tenant, Host: job.Args.Host, Due: job.CreatedAt}",
		"fair.Claim{Tenant: string(job.Args.AttemptID), Due: job.CreatedAt}",
		[]test{{dispatch, "TestSubmitter_SlowSourcesDelayTheirOwnTenantAlone"}},
	},
	{
		10, "all-places-to-one-tenant", "internal/fair/fair.go",
		"return max(available/2, 1)",
		"return max(available, 1)",
		[]test{
			{promises, "TestPromise10_SlowHostsOfOneTenantDelayNoOther"},
			{fair, "TestAcquire_HoldersThatNeverReturnDelayNoOther"},
		},
	},
	{
		10, "all-looks-to-one-host", "internal/postgres/preparation.go",
		"<= greatest((of_host + most - held) / 2, 1)",
		"<= of_host + most - held",
		[]test{{postgres, "TestClaimPreparations_ShareThePlacesByTenantAndHost"}},
	},
	{
		10, "source-quotas-not-locked", "internal/postgres/uploads/upload.go",
		"SELECT pg_advisory_xact_lock(hashtextextended('refract.tenant.sources.' || $1, 0))",
		"SELECT hashtextextended('refract.tenant.sources.' || $1, 0)",
		[]test{{source, "TestReceive_QuotasAreExactUnderConcurrency"}},
	},
	{
		10, "failed-probe-probes-again", "internal/admission/probe.go",
		"	if n := cmp.Or(-cmp.Compare(c.needs(), o.needs()), c.task.Refused.Compare(o.task.Refused)); n != 0 {\n",
		"	if n := cmp.Compare(c.needs(), o.needs()); n != 0 {\n",
		[]test{{admission, "TestProbe_IndependentWitnessesGoFirst"}},
	},
	{
		10, "pause-by-one-task-for-all", "internal/postgres/usage.go",
		"	     WHEN tenant_probe_time <= now() THEN 2\n",
		"",
		[]test{
			{promises, "TestPromise10_OnePoisonousTaskStopsNobody"},
			{lifecycle, "TestProbe_ATaskAtFaultStopsNobody"},
		},
	},
	{
		10, "no-task-at-fault", "internal/lifecycle/judge.go",
		"r.Created != CreatedNo || !h.OthersAccepted:",
		"true:",
		[]test{
			{promises, "TestPromise10_OnePoisonousTaskStopsNobody"},
			{lifecycle, "TestProbe_ATaskAtFaultStopsNobody"},
		},
	},
	{
		10, "old-acceptance-resumes", "internal/postgres/account.go",
		"coalesce(pause_time < $2, paused_until_time <= now())",
		"$2::timestamptz IS NOT NULL",
		[]test{{lifecycle, "TestProbe_ATaskAtFaultStopsNobody"}},
	},
	{
		10, "quotas-not-locked", "internal/postgres/insert_tasks.go",
		"SELECT pg_advisory_xact_lock(key)\n",
		"SELECT key\n",
		[]test{{lifecycle, "TestSubmit_QuotasAreExactWhenSubmissionsOverlap"}},
	},

	// 11. No secret leaks.
	{
		11, "words-of-providers-kept", "internal/provider/wire/redact.go",
		"	cut := len(s) > maxRedacted\n",
		"	if s != \"\" {\n		return s\n	}\n	cut := len(s) > maxRedacted\n",
		[]test{
			{promises, "TestPromise11_NoSecretLeaks"},
			{wire, "TestRedact_KeepNoSecret"},
		},
	},
	{
		11, "callback-bodies-kept", "internal/callback/receive.go",
		"		Body: redactBody(in.body, in.token, sender.Capabilities().Confidential...), Intake: in.intake,\n",
		"		Body: in.body, Intake: in.intake,\n",
		[]test{
			{promises, "TestPromise11_NoSecretLeaks"},
			{callback, "TestReceive_StoresNoURLTokenAndNoLink"},
		},
	},
	{
		11, "database-url-quoted", "internal/postgres/dbpool/open.go",
		"	pool, err := pgxpool.ParseConfig(databaseURL)\n	if err != nil {\n		return nil, errNoPostgresURL\n",
		"	pool, err := pgxpool.ParseConfig(databaseURL)\n	if err != nil {\n		return nil, fmt.Errorf(\"%w: %s\", errNoPostgresURL, databaseURL)\n",
		[]test{{promises, "TestPromise11_NoSecretLeaks"}},
	},
	{
		11, "settings-logged", "internal/redact/secret.go",
		"{ return []byte(s.String()), nil }",
		"{ return []byte(s), nil }",
		[]test{{promises, "TestPromise11_NoSecretLeaks"}},
	},

	{
		11, "addresses-logged-whole", "internal/server/config.go",
		"	f.Bucket, f.BaseURL, f.CallbackURL = redact.URL(f.Bucket), redact.URL(f.BaseURL), redact.URL(f.CallbackURL)\n",
		"",
		[]test{{operation, "TestSecret_NeverShows"}},
	},
	{
		11, "escaped-secrets-kept", "internal/redact/redact.go",
		"		return escaped(text, forms)\n",
		"		return text\n",
		[]test{{redact, "TestSecrets_FindsEverySpelling"}},
	},
	{
		11, "revoked-tokens-stream-on", "internal/identity/keyring.go",
		"			t.end(ErrInvalid)\n",
		"",
		[]test{{identity, "TestKeyring_ANewTokenWorksAtOnceAndARevokedOneEndsInTime"}},
	},
	{
		11, "webhook-urls-in-the-audit-log", "internal/postgres/webhooks/endpoint.go",
		"redact.Words(e.URL)",
		"redact.Users(e.URL)",
		[]test{{operation, "TestAudit_SaysWhoChangedWhat"}},
	},
	{
		10, "call-rate-not-limited", "internal/identity/rates.go",
		"wait := place.Delay(); wait > 0",
		"wait := place.Delay(); wait < 0",
		[]test{{identity, "TestRates_ATenantHasItsRateAndTwiceAsMuchAtOnce"}},
	},
	{
		11, "credentials-of-two-tenants", "internal/identity/identity.go",
		"	case a.Tenant != b.Tenant && a.Tenant != \"\" && b.Tenant != \"\":\n		return nil, ErrAmbiguous\n",
		"",
		[]test{{identity, "TestChain_EveryCredentialMustBeValidAndOfOneTenant"}},
	},

	// 12. Graceful.
	{
		12, "jobs-canceled", "internal/queue/queue.go",
		"q.client.Stop(ctx)",
		"q.client.StopAndCancel(ctx)",
		[]test{{promises, "TestPromise12_Graceful"}},
	},
	{
		12, "streams-not-drained", "internal/watch/hub.go",
		"func (h *Hub) Drain() { h.drain() }",
		"func (h *Hub) Drain() {}",
		[]test{{promises, "TestPromise12_Graceful"}},
	},

	// 13. A withdrawn offering costs callers nothing.
	{
		13, "offering-not-closed", "internal/lifecycle/settle_submission.go",
		"c := Change{Decision: d, Offering: l.offeringUpdate(t, a, s.err)}",
		"c := Change{Decision: d}",
		[]test{{promises, "TestPromise13_AWithdrawnModelCostsCallersNothing"}, {lifecycle, "TestWithdrawn_TasksMoveToTheNextProvider"}},
	},
	{
		13, "old-answer-is-a-probe", "internal/postgres/offering.go",
		"WHERE NOT known.operator AND known.close_time < $6`",
		"WHERE NOT known.operator`",
		[]test{{lifecycle, "TestWithdrawn_AnswersFromBeforeSayNothingNew"}},
	},
	{
		13, "probe-over-the-quota", "internal/postgres/line.go",
		"return open < quota, err",
		"return true, err",
		[]test{{lifecycle, "TestWithdrawn_AProbeCountsWhatItsTenantGotMeanwhile"}},
	},
	{
		13, "tenants-at-their-quota-probe", "internal/postgres/line.go",
		"WHERE used.open >= limits.max_in_flight`",
		"WHERE false`",
		[]test{{lifecycle, "TestWithdrawn_AProbeKeepsTheQuotaOfItsTenant"}},
	},
	{
		13, "held-tasks-stay", "internal/postgres/offering.go",
		"SET not_before_time = now()\nFROM held\n",
		"SET not_before_time = not_before_time\nFROM held\n",
		[]test{{lifecycle, "TestWithdrawn_AnAcceptedProbeOpensTheOffering"}},
	},

	// 14. A signed body is proof; anything else is a hint.
	{
		14, "proven-body-is-a-hint", "internal/lifecycle/settle_callback.go",
		"	case said.Proof == provider.ProofBody && said.Status.Phase == provider.Failed:\n		return failedInput(id, said.ProviderTaskID, said.Status), Applied\n",
		"",
		[]test{{promises, "TestPromise14_AProvenBodySettlesWithoutAQuestion"}},
	},
	{
		14, "stored-callbacks-judged-when-settled", "internal/callback/settle_intake.go",
		"body: e.Body, time: w.ReceiveTime,\n",
		"body: e.Body, time: time.Now(),\n",
		[]test{{callback, "TestIntakeSettler_JudgesTheAgeOfASignatureByWhenItWasStored"}},
	},
	{
		14, "ingress-dates-callbacks", "internal/postgres/migrations/ingress_role.go",
		"GRANT INSERT (attempt_id, account, sealed) ON",
		"GRANT INSERT ON",
		[]test{{operation, "TestRoles_TheIngressRoleMayOnlyAppend"}},
	},
	{
		14, "any-signature-is-good", "internal/provider/fal/jwks.go",
		"		if ed25519.Verify(key, message, signature) {\n",
		"		if len(key) > 0 {\n",
		[]test{{promises, "TestPromise14_AnUnprovenBodyChangesNothing"}},
	},
	{
		14, "missing-keys-refuse", "internal/provider/fal/jwks.go",
		"	return false, err\n}\n\nfunc signedBy",
		"	_ = err\n	return false, nil\n}\n\nfunc signedBy",
		[]test{{promises, "TestPromise14_WithoutTheKeySetACallbackIsAHint"}},
	},

	// 17. Every event reaches every subscribed endpoint.
	{
		17, "events-without-deliveries", "internal/postgres/webhooks/outbox.go",
		"AND disabled IS NULL AND ",
		"AND disabled IS NULL AND ` + event + `.revision = 1 AND ",
		[]test{{promises, everyEvent}},
	},
	{
		17, "first-events-without-deliveries", "internal/postgres/webhooks/outbox.go",
		"AND disabled IS NULL AND ",
		"AND disabled IS NULL AND ` + event + `.revision > 1 AND ",
		[]test{{promises, everyEvent}},
	},
	{
		17, "events-of-other-tenants", "internal/postgres/webhooks/outbox.go",
		"WHERE tenant = ` + event + `.tenant AND ",
		"WHERE ",
		[]test{{promises, everyEvent}, {webhooks, "TestOutbox_AnEventIsDeliveredToTheEndpointsThatMatch"}},
	},
	{
		17, "labels-ignored", "internal/postgres/webhooks/outbox.go",
		"own.labels @> endpoint.labels AND ",
		"",
		[]test{{promises, everyEvent}, {webhooks, "TestOutbox_AnEventIsDeliveredToTheEndpointsThatMatch"}},
	},
	{
		17, "later-events-overtake", "internal/postgres/webhooks/claim.go",
		"other.revision < due.revision OR ",
		"",
		[]test{{promises, everyEvent}, {webhooks, "TestClaim_TakesTheEventsOfATaskOneByOne"}},
	},
	{
		17, "ended-before-the-answer", "internal/notify/send.go",
		"	case v.outcome == outcomeSucceeded:\n",
		"	case v.outcome != outcomeInternal:\n",
		[]test{{promises, everyEvent}},
	},
	{
		17, "redirects-followed", "internal/media/post_client.go",
		"func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }",
		"checkRedirect",
		[]test{{promises, everyEvent}},
	},
	{
		17, "links-not-made", "internal/api/convert_webhook.go",
		"	if detail < notify.WithoutLinks {\n",
		"	if false {\n",
		[]test{{promises, everyEvent}},
	},
	{
		17, "previous-secret-forgotten", "internal/notify/sign.go",
		"secrets.Previous != nil && at.Before(secrets.PreviousExpire)",
		"false && at.Before(secrets.PreviousExpire)",
		[]test{{promises, everyEvent}},
	},
	{
		17, "previous-secret-kept", "internal/notify/sign.go",
		"secrets.Previous != nil && at.Before(secrets.PreviousExpire)",
		"secrets.Previous != nil",
		[]test{{promises, everyEvent}},
	},
	{
		17, "a-tenant-takes-every-slot", "internal/notify/book.go",
		"	return holds < fair.Limit(holds+free)\n",
		"	return holds >= 0 || fair.Limit(free) > 0\n",
		[]test{{promises, "TestPromise17_DeadEndpointsDelayNoOther"}},
	},
	{
		17, "urls-of-endpoints-unchecked", "internal/api/webhook_service.go",
		"	if err := s.checkURI(url); err != nil {\n",
		"	if err := s.checkURI(url); false {\n",
		[]test{{promises, "TestPromise17_NoRequestReachesAPrivateAddress"}},
	},
	{
		17, "webhook-uris-unchecked", "internal/lifecycle/submit.go",
		"	if spec.WebhookURI != \"\" {\n",
		"	if false {\n",
		[]test{{promises, "TestPromise17_NoRequestReachesAPrivateAddress"}},
	},
	{
		17, "addresses-unguarded", "internal/media/post_client.go",
		"	base := newBase(g)\n",
		"	base := newBase(Guard{AllowPrivate: true, Resolver: g.Resolver})\n",
		[]test{{promises, "TestPromise17_NoRequestReachesAPrivateAddress"}},
	},

	// 18. A restored backup never pays twice.
	{
		18, "forgotten-send-ignored", "internal/lifecycle/records.go",
		"	return found, nil\n}\n\n// recordOutcome",
		"	return nil, nil\n}\n\n// recordOutcome",
		[]test{{lifecycle, "TestSend_OfWhatTheDatabaseForgotTakesOverTheFirstSend"}, {promises, "TestPromise18_ARestoredBackupNeverPaysTwice"}, {promises, "TestPromise18_AFailoverThatLosesCommitsNeverPaysTwice"}},
	},
	{
		18, "records-named-by-attempt", "internal/task/task.go",
		"		if a.Sent {\n			n++\n",
		"		if a.Number > 0 {\n			n++\n",
		[]test{{lifecycle, "TestSend_OfWhatTheDatabaseForgotTakesOverTheFirstSend"}},
	},
	{
		18, "sent-without-a-record", "internal/lifecycle/send.go",
		"	case err != nil:\n		tracing.End(span, \"not_recorded\")\n",
		"	case false:\n		tracing.End(span, \"not_recorded\")\n",
		[]test{{lifecycle, "TestSend_WithoutARecordNothingLeaves"}},
	},
	{
		18, "sent-while-closed", "internal/lifecycle/send.go",
		"!open && a.State ==",
		"!open && false && a.State ==",
		[]test{{lifecycle, "TestSend_WhileAdmissionIsClosedGivesBack"}},
	},
	{
		18, "epochs-not-compared", "internal/fence/fence.go",
		"	case recorded > known.Epoch:\n",
		"	case recorded > known.Epoch && false:\n",
		[]test{{"internal/fence", "TestStart_ComparesTheEpochs"}},
	},
	{
		18, "missing-epochs-ignored", "internal/fence/fence.go",
		"	case recorded == noEpoch && moved && !f",
		"	case recorded == noEpoch && moved && false && !f",
		[]test{{"internal/fence", "TestStart_ComparesTheEpochs"}, {promises, "TestPromise18_ACloneWithAnotherBucketSendsNothing"}},
	},
	{
		18, "missing-jobs-ignored", "internal/postgres/missing_jobs.go",
		"    WHERE state = 'SAVING' AND update_time",
		"    WHERE state = 'LOST' AND update_time",
		[]test{{"internal/postgres", "TestEnqueueMissing_AddsJobsThatAttemptsWaitFor"}, {service, "TestSave_WhoseJobIsMissingIsMadeUpFor"}},
	},
	{
		18, "opened-unsettled", "internal/fence/restore.go",
		"	case DatabaseSetBack:\n		return f.checkSettled(ctx)\n",
		"	case DatabaseSetBack:\n		return nil\n",
		[]test{{promises, "TestPromise18_ARestoredBackupNeverPaysTwice"}},
	},
	{
		18, "opened-unseen", "internal/postgres/installation.go",
		"WHERE close_reason = $1 AND close_time = $2`",
		"WHERE $1::text IS NOT NULL AND $2::timestamptz IS NOT NULL`",
		[]test{{"internal/fence", "TestOpenAdmission_DoesNotOverrideAClosingThatWasNotSeen"}},
	},
	{
		18, "unconditional-storage-trusted", "internal/fence/fence.go",
		"	return errOverwritten\n",
		"	return nil\n",
		[]test{{"internal/fence", "TestStart_WithAStorageThatIgnoresConditionsSendsNothing"}},
	},
	{
		18, "stopped-sends-not-recorded", "internal/lifecycle/send.go",
		"l.records.CreateRecord(reading, ",
		"l.records.Record(reading, ",
		[]test{{lifecycle, "TestSend_OfAnotherProcessIsRecordedWhenItIsSettled"}},
	},
}...)

// differences returns mutations for promise 2. Each skips one field of a submission in the comparison.
func differences() []mutation {
	var all []mutation
	for _, field := range []string{
		"prompt", "source.uri", "source.source_id", "watermark", "strength", "model", "parameters", "first_frame_uri", "webhook_uri", "provider",
		"fallback_providers", "priority", "labels", "deadline", "max_attempts",
	} {
		all = append(all, mutation{
			2, "another-" + field, "internal/task/task.go",
			fmt.Sprintf("	differs(%q, ", field),
			fmt.Sprintf("	differs(%q, true || ", field),
			[]test{{promises, "TestPromise02_AnotherPayloadIsRefused"}},
		})
	}
	return all
}
