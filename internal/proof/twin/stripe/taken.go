package stripe

// Taken is what each route takes: the paths of its parameters, and those of
// Stripe's that it refuses by name.
func Taken() map[string][2][]string {
	out := map[string][2][]string{}
	for _, e := range endpoints() {
		out[e.route] = [2][]string{e.schema.fields, e.schema.stripes}
	}
	return out
}
