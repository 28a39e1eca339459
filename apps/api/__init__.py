"""The service: requests over HTTP that share forward passes, jobs that outlive the process. `app.create_app` makes it."""
