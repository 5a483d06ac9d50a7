"""Pages of HTML with drawings of SVG."""
