"""Pictures and deliveries of fetched takes: all that is made of a folder that `farm fetch` filled.

takes        the folder's takes, with what their sidecars and the manifest say of them
films        reading frames, writing films and picture sequences
text         what is written into pictures
sheet        contact sheets: `wedges` lays grids out, `page` makes HTML of them
preview      small moving pictures
review_copy  films with slate and burn-in
rendition    films in other encodings, sizes and rates
timeline     a batch as a cut; `cut` makes a batch of a cut's empty shots

Takes are only ever read. The room needs the extra `delivery`: commands import it when they run.
"""
