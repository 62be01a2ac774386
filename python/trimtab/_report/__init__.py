"""What self-contained HTML reports share: the page, SVG written by hand, scales, colours, images.

No network and no script is needed to read such a page: charts are inline SVG, images are data URIs.
"""
