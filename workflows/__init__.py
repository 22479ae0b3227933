"""What runs when a schedule fires: the boost, the keeper of a namespace, and the Cloud API."""
