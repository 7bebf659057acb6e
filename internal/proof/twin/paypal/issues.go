package paypal

import (
	"bytes"
	"encoding/json"
	"net/http"

	"proofroom/internal/proof/twin/host"
)

// issues are PayPal's fine-grained errors, with the words that its description of
// the API prescribes for each.
var issues = map[string]string{
	"INVALID_RESOURCE_ID":          "Specified resource ID does not exist. Please check the resource ID and try again.",
	"MALFORMED_REQUEST_JSON":       "The request JSON is not well formed.",
	"MISSING_REQUIRED_PARAMETER":   "A required parameter is missing.",
	"INVALID_PARAMETER_SYNTAX":     "The value of a field does not conform to the expected format.",
	"INVALID_PARAMETER_VALUE":      "A parameter value is not valid.",
	"INVALID_STRING_LENGTH":        "The value of a field is either too short or too long",
	"INVALID_ARRAY_MAX_ITEMS":      "The number of items in an array parameter is too large.",
	"PAYPAL_REQUEST_ID_REQUIRED":   "A PayPal-Request-Id is required if you are trying to process payment for an Order. Please specify a PayPal-Request-Id or Create the Order without a 'payment_source' specified.",
	"PREVIOUS_REQUEST_IN_PROGRESS": "A previous request on this resource is currently in progress. Please wait for sometime and try again. It is best to space out the initial and the subsequent request(s) to avoid receiving this error.",

	"INVALID_CURRENCY_CODE":      "Currency code is invalid or is not currently supported. Please refer https://developer.paypal.com/api/rest/reference/currency-codes/ for list of supported currency codes.",
	"DECIMAL_PRECISION":          "If the currency supports decimals, only two decimal place precision is supported.",
	"CANNOT_BE_ZERO_OR_NEGATIVE": "Must be greater than zero. If the currency supports decimals, only two decimal place precision is supported.",
	"CANNOT_BE_NEGATIVE":         "Must be greater than or equal to 0. If the currency supports decimals, only two decimal place precision is supported.",
	"MAX_VALUE_EXCEEDED":         "Should be less than or equal to 999999999999999.99.",
	"MULTI_CURRENCY_ORDER":       "Multiple differing values of currency_code are not supported. Entire Order request must have the same currency_code.",
	"ITEM_TOTAL_REQUIRED":        "If item details are specified (items.unit_amount and items.quantity) corresponding amount.breakdown.item_total is required.",
	"ITEM_TOTAL_MISMATCH":        "Should equal sum of (unit_amount * quantity) across all items for a given purchase_unit.",
	"AMOUNT_MISMATCH":            "Should equal item_total + tax_total + shipping + handling + insurance - shipping_discount - discount.",
	"DUPLICATE_INVOICE_ID":       "Duplicate Invoice ID detected. To avoid a potential duplicate transaction your account setting requires that Invoice Id be unique for each transaction.",

	"ORDER_NOT_APPROVED":                      "Payer has not yet approved the Order for payment. Please redirect the payer to the 'rel':'approve' url returned as part of the HATEOAS links within the Create Order call or provide a valid `payment_source` in the request.",
	"ORDER_ALREADY_CAPTURED":                  "Order already captured.If 'intent=CAPTURE' only one capture per order is allowed.",
	"ORDER_COMPLETION_IN_PROGRESS":            "The order was created with processing_instruction of ORDER_COMPLETE_ON_PAYMENT_APPROVAL. The customer has approved the payment and PayPal is still in the process of capturing the order on your behalf as instructed. Please try your request again.",
	"INSTRUMENT_DECLINED":                     "The instrument presented  was either declined by the processor or bank, or it can't be used for this payment.",
	"MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED": "You have exceeded the maximum number of payment attempts.",

	"CAPTURE_FULLY_REFUNDED":                 "The capture has already been fully refunded",
	"REFUND_AMOUNT_EXCEEDED":                 "The refund amount must be less than or equal to the capture amount that has not yet been refunded.",
	"REFUND_CAPTURE_CURRENCY_MISMATCH":       "Refund must be in the same currency as the capture",
	"REFUND_NOT_ALLOWED":                     "Capture cannot be refunded.",
	"PENDING_CAPTURE":                        "Cannot initiate a refund as the capture is pending. Capture is typically pending when the payer has funded the transaction using e-check/bank funded.",
	"TRANSACTION_DISPUTED":                   "Partial refunds cannot be offered at this time because there is an open case on this transaction. Visit the PayPal Resolution Center to review this case.",
	"REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": "Refunds are not allowed on this capture due to a chargeback on the card or bank. Please contact the payee to resolve the chargeback.",
	"REFUND_DUPLICATE_INVOICE_ID":            "Invoice ID was previously used to refund a capture.",
}

// kinds are the names and words of each status, as PayPal's description has them.
var kinds = map[int][2]string{
	400: {"INVALID_REQUEST", "Request is not well-formed, syntactically incorrect, or violates schema."},
	401: {"AUTHENTICATION_FAILURE", "Authentication failed due to missing authorization header, or invalid authentication credentials."},
	404: {"RESOURCE_NOT_FOUND", "The specified resource does not exist."},
	409: {"RESOURCE_CONFLICT", "The server has detected a conflict while processing this request."},
	415: {"UNSUPPORTED_MEDIA_TYPE", "The server does not support the request payload’s media type."},
	422: {"UNPROCESSABLE_ENTITY", "The requested action could not be performed, semantically incorrect, or failed business validation."},
	429: {"RATE_LIMIT_REACHED", "Too many requests. Blocked due to rate limiting."},
	500: {"INTERNAL_SERVER_ERROR", "An internal server error occurred."},
}

// badRequests are the issues that are answered with 400; others get 422.
var badRequests = map[string]bool{
	"MALFORMED_REQUEST_JSON": true, "MISSING_REQUIRED_PARAMETER": true, "INVALID_PARAMETER_SYNTAX": true, "INVALID_PARAMETER_VALUE": true,
	"INVALID_STRING_LENGTH": true, "INVALID_ARRAY_MAX_ITEMS": true, "PAYPAL_REQUEST_ID_REQUIRED": true,
}

// issue is what is wrong with a request, and where.
type issue struct{ code, field string }

// encode writes JSON as PayPal does: with & < and > as they are.
func encode(v any) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("twin: an object cannot be encoded: " + err.Error())
	}
	return bytes.TrimRight(out.Bytes(), "\n")
}

func good(status int, o object) host.Answer { return host.Answer{Status: status, Body: encode(o)} }

// plain is an error without details.
func plain(status int) host.Answer {
	return host.Answer{Status: status, Body: encode(errorBody(status))}
}

func errorBody(status int) object {
	return object{
		"name": kinds[status][0], "message": kinds[status][1], "debug_id": host.RandomOf("0123456789abcdef", 13),
		"links": []object{{"href": "https://developer.paypal.com/api/rest/reference/orders/v2/errors/#" + kinds[status][0], "rel": "information_link", "method": "GET"}},
	}
}

// refuse is the answer to a request with an issue. links are further ones.
func refuse(is issue, links ...object) host.Answer {
	status := http.StatusUnprocessableEntity
	switch {
	case badRequests[is.code]:
		status = http.StatusBadRequest
	case is.code == "INVALID_RESOURCE_ID":
		status = http.StatusNotFound
	case is.code == "PREVIOUS_REQUEST_IN_PROGRESS":
		status = http.StatusConflict
	}
	body := errorBody(status)
	detail := object{"issue": is.code, "description": issues[is.code]}
	if is.code == "REFUND_DUPLICATE_INVOICE_ID" {
		detail["issue"] = "DUPLICATE_INVOICE_ID"
	}
	if is.field != "" {
		detail["field"] = is.field
		detail["location"] = "body"
	}
	body["details"] = []object{detail}
	body["links"] = append(body["links"].([]object), links...)
	return host.Answer{Status: status, Body: encode(body)}
}

var missing = refuse(issue{"INVALID_RESOURCE_ID", ""})
