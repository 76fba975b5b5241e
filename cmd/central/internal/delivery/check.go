package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wneessen/go-mail"

	"latchkey/cmd/central/internal/config"
)

// Check says what is wrong with the ways to holders that the configuration names, with the cure. It signs in at the mail
// host and hands nothing over. Of Notify it looks at the key alone: asking there would need a template's message.
func Check(ctx context.Context, c *config.Config) error {
	var wrong []error
	if c.Delivery.Email == config.BySMTP {
		wrong = append(wrong, checkMailHost(ctx, c.SMTP))
	}
	if c.Delivery.Email == config.ByNotify || c.Delivery.SMS == config.ByNotify {
		_, err := newNotify(c.Notify, time.Now)
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

func checkMailHost(ctx context.Context, c config.SMTP) error {
	host, err := newMailHost(c)
	if err != nil {
		return err
	}
	client, err := mail.NewClient(host.host, host.options...)
	if err != nil {
		return fmt.Errorf("smtp: %w", err)
	}
	if err := client.DialWithContext(ctx); err != nil {
		return fmt.Errorf("smtp.host %s, port %d: it takes no messages from here (%w): correct [smtp], or have the host let central in with STARTTLS and a certificate of its name",
			c.Host, c.Port, err)
	}
	return client.Close()
}
