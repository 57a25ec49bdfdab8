"""Parts of pages: group panel and dialog, builder, region, figure, reader, export."""
