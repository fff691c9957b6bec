package sim

// Price returns the credits that a job costs.
func (a *API) Price() int { return a.server.cfg.TaskPrice }
