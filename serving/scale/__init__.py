"""How the control path grows with the number of nodes: null nodes, measured on this machine."""
