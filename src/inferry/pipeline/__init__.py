"""One function an arrow of the flow; the only place that joins the parts."""
