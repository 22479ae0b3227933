"""The edge of the run time: activities that call the Cloud API and keeper workflows."""
