"""What runs when a schedule fires: the boost, the keeper of a namespace, and the Cloud API.

Part of calendar-boost-planner: by this name ``planner`` knows it from other packages that
are called ``workflows``.
"""
