"""How sharp a trained run is: Hessian, m-sharpness, slices of its landscape."""
